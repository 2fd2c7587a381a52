"""Which hosts and addresses `http.request` may reach.

Workflows are written by others than those who run the workers, so a request must not become a way into the
worker's own network. Every address that a host resolves to is checked, and the one that is connected to is
one that was checked: a name that resolves differently the next time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressDeniedError(Exception):
    """The host, or an address of it, must not be reached; the text names the setting."""


class AddressPolicy:
    """With `allow` empty: public addresses. Else: hosts that match one of these globs, private ones too.

    Link-local addresses, where clouds answer with credentials, are reached only if listed literally.
    """

    def __init__(self, allow: Sequence[str], resolve: Resolve | None = None) -> None:
        self._allow = [pattern.lower().strip("[]") for pattern in allow]
        self._resolve = resolve or resolve_host

    async def pin(self, host: str, port: int) -> str:
        """An address of the host to connect to. Raises AddressDeniedError, OSError (no such host)."""
        host = host.lower().strip("[]").rstrip(".")
        if not host:
            raise OSError("the URL names no host")
        listed = any(fnmatchcase(host, pattern) for pattern in self._allow)
        if self._allow and not listed:
            raise AddressDeniedError(
                f"{host} is not in HTTP_REQUEST_ALLOW ({', '.join(self._allow)}): add it there to allow it"
            )
        addresses = await self._resolve(host, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            self._check(host, ipaddress.ip_address(address.partition("%")[0]), listed)
        return addresses[0]

    def _check(self, host: str, address: IPAddress, listed: bool) -> None:
        target = _embedded(address)
        if str(target) in self._allow:
            return
        if target.is_link_local or target.is_multicast or target.is_unspecified:
            raise AddressDeniedError(
                f"{host} is {target}, which only its literal address in HTTP_REQUEST_ALLOW allows"
            )
        if not listed and not target.is_global:
            raise AddressDeniedError(
                f"{host} is {target}, which is not public: add {host} to HTTP_REQUEST_ALLOW to allow it"
            )


def _embedded(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour or address


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, in the system's order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
