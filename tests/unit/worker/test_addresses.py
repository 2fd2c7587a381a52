from collections.abc import Sequence

import pytest
from workflow_worker.handlers.addresses import AddressDeniedError, AddressPolicy


def policy(*allow: str, **hosts: Sequence[str]) -> AddressPolicy:
    """A policy for which names resolve as given; an address resolves to itself."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return hosts.get(host.replace(".", "_"), [host])

    return AddressPolicy(allow, resolve)


async def test_a_public_address_may_be_reached_and_is_the_one_that_was_checked() -> None:
    assert await policy(example_com=["93.184.215.14", "1.1.1.1"]).pin("example.com", 443) == [
        "93.184.215.14",
        "1.1.1.1",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
async def test_addresses_that_are_not_public_are_denied(address: str) -> None:
    with pytest.raises(AddressDeniedError):
        await policy(host_test=[address]).pin("host.test", 80)


async def test_one_private_address_among_public_ones_is_enough_to_deny() -> None:
    with pytest.raises(AddressDeniedError, match="not public"):
        await policy(mixed_test=["1.1.1.1", "127.0.0.1"]).pin("mixed.test", 80)


async def test_listed_hosts_may_be_private_and_others_are_denied_even_if_public() -> None:
    listed = policy("*.internal", "localhost", billing_internal=["10.0.0.7"], localhost=["127.0.0.1"])

    assert await listed.pin("Billing.internal.", 80) == ["10.0.0.7"]
    assert await listed.pin("localhost", 80) == ["127.0.0.1"]
    with pytest.raises(AddressDeniedError, match="HTTP_REQUEST_ALLOW"):
        await listed.pin("1.1.1.1", 80)


async def test_link_local_addresses_must_be_listed_literally() -> None:
    metadata = ["169.254.169.254"]

    with pytest.raises(AddressDeniedError, match="literal"):
        await policy("*", evil_test=metadata).pin("evil.test", 80)
    assert await policy("169.254.169.254").pin("169.254.169.254", 80) == ["169.254.169.254"]


async def test_a_host_without_an_address_is_an_error_of_the_network() -> None:
    with pytest.raises(OSError, match="no address"):
        await policy(gone_test=[]).pin("gone.test", 80)
