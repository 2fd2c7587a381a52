"""The table of addresses gives the same answers on every Python, and knows the addresses of clouds."""

import ipaddress

import pytest
from workflow_worker.handlers.addresses import AddressDeniedError, AddressPolicy
from workflow_worker.handlers.special_addresses import Kind, kind_of, target_of

PUBLIC = ["1.1.1.1", "93.184.215.14", "168.63.129.15", "100.128.0.1", "223.255.255.255", "172.32.0.1"]
PUBLIC_IPV6 = ["2606:4700:4700::1111", "2a00:1450:4001:830::200e", "2001:4860:4860::8888"]
PRIVATE = ["10.0.0.1", "100.64.0.1", "127.0.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1"]
PRIVATE += ["192.168.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "240.0.0.1"]
PRIVATE += ["::1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "3fff::1", "5f00::1", "fc00::1"]
PRIVATE += ["fd12:3456::1", "fec0::1", "::7f00:1", "4000::1", "::ffff:0:7f00:1"]
SENSITIVE = ["0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192"]
SENSITIVE += ["100.100.100.200", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "fe80::a9fe:a9fe"]
SENSITIVE += ["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "ff02::1"]


def kind(text: str) -> Kind:
    return kind_of(target_of(ipaddress.ip_address(text)))


@pytest.mark.parametrize("address", [*PUBLIC, *PUBLIC_IPV6])
def test_addresses_of_the_public_network_are_public(address: str) -> None:
    assert kind(address) is Kind.PUBLIC


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_other_networks_are_private(address: str) -> None:
    assert kind(address) is Kind.PRIVATE


@pytest.mark.parametrize("address", SENSITIVE)
def test_addresses_that_give_credentials_away_are_sensitive(address: str) -> None:
    assert kind(address) is Kind.SENSITIVE


@pytest.mark.parametrize("address", [a for a in (*PUBLIC, *PRIVATE, *SENSITIVE) if ":" not in a])
@pytest.mark.parametrize("prefix", ["::ffff:", "64:ff9b::"])
def test_an_ipv6_address_is_what_the_ipv4_address_in_it_is(address: str, prefix: str) -> None:
    assert kind(prefix + address) is kind(address)
    inside = int(ipaddress.IPv4Address(address))

    assert kind(str(ipaddress.IPv6Address((0x2002 << 112) | inside << 80))) is kind(address)


@pytest.mark.parametrize("address", SENSITIVE)
async def test_a_glob_does_not_allow_a_sensitive_address_but_its_literal_does(address: str) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    with pytest.raises(AddressDeniedError, match="literal"):
        await AddressPolicy(["*"], resolve).pin("evil.test", 80)
    long_form = ipaddress.ip_address(address).exploded.upper()
    assert await AddressPolicy(["*", f"[{long_form}]"], resolve).pin("own.test", 80) == [address]


async def test_names_beyond_ascii_are_listed_as_people_write_them() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    policy = AddressPolicy(["*.münchen.example"], resolve)
    assert await policy.pin("api.xn--mnchen-3ya.example", 80) == ["10.0.0.1"]
