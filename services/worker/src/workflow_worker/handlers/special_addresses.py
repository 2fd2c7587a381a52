"""Which IP addresses are public: a table of our own, so that every Python release gives the same answer.

The table follows IANA's special-purpose address registries for IPv4 and IPv6, and adds the addresses at which
clouds answer their own machines. `ipaddress.is_global` is not used: its table changes with the patch release
of Python, and it treats some of these addresses as global.
"""

from __future__ import annotations

import ipaddress
from enum import Enum, auto

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Kind(Enum):
    """The kind of an address, for deciding whether a workflow may reach it."""

    PUBLIC = auto()
    PRIVATE = auto()
    """An address of a private network, of this machine, or of no machine."""
    SENSITIVE = auto()
    """An address at which clouds give out credentials, or an address of several machines."""


_SENSITIVE = (
    "0.0.0.0/8",  # this host on this network; Linux takes 0.0.0.0 for 127.0.0.1
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "168.63.129.16/32",  # Azure's wire server; the address itself is public
    "169.254.0.0/16",  # link-local: metadata of AWS, Azure, Google Cloud and others
    "192.0.0.192/32",  # metadata of Oracle Cloud
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",  # broadcast
    "::/128",  # unspecified
    "fd00:42::42/128",  # metadata of Scaleway
    "fd00:ec2::/32",  # metadata, credentials and name servers of AWS
    "fd20:ce::/32",  # metadata of Google Cloud
    "fe80::/10",  # link-local
    "ff00::/8",  # multicast
)
_PRIVATE = (
    "10.0.0.0/8",  # private use
    "100.64.0.0/10",  # shared between a provider and its customers
    "127.0.0.0/8",  # loopback
    "172.16.0.0/12",  # private use
    "192.0.0.0/24",  # assignments of protocols
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # relays of 6to4, which are no longer in use
    "192.168.0.0/16",  # private use
    "198.18.0.0/15",  # benchmarks of networks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "240.0.0.0/4",  # reserved
    "2001::/23",  # assignments of protocols, with Teredo, benchmarks and ORCHID
    "2001:db8::/32",  # documentation
    "3fff::/20",  # documentation
)
_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are given to machines of the public network. All others are private."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SENSITIVE_NETWORKS = tuple(map(ipaddress.ip_network, _SENSITIVE))
_PRIVATE_NETWORKS = tuple(map(ipaddress.ip_network, _PRIVATE))


def kind_of(address: IPAddress) -> Kind:
    """Return the kind of an address, after `target_of`."""
    if any(address in network for network in _SENSITIVE_NETWORKS):
        return Kind.SENSITIVE
    if any(address in network for network in _PRIVATE_NETWORKS):
        return Kind.PRIVATE
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return Kind.PRIVATE
    return Kind.PUBLIC


def target_of(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address leads to, or the address itself if it leads to none.

    IPv4-mapped addresses, NAT64 and 6to4 lead to an IPv4 address.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
