"""Which hosts and addresses `http.request` may reach.

The people who write workflows are not the people who run workers, so a request must not become a way into the
worker's network. Every address that a host resolves to is checked, and the connection goes to a checked
address. A name that resolves differently the next time changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase

from workflow_worker.handlers.special_addresses import IPAddress, Kind, kind_of, target_of

MAX_ADDRESSES = 4
"""How many addresses of a host are tried, one after another."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressDeniedError(Exception):
    """The host or one of its addresses must not be reached; the text names the setting to change."""


class AddressPolicy:
    """Decides which hosts may be reached.

    If `allow` is empty, public addresses may be reached. Otherwise, hosts that match one of its globs may be
    reached, also at private addresses. Sensitive addresses, such as those where clouds answer with
    credentials, may be reached only if `allow` names the address itself.
    """

    def __init__(self, allow: Sequence[str], resolve: Resolve | None = None) -> None:
        self._allow = [_on_the_wire(pattern.lower().strip("[]")) for pattern in allow]
        self._literal = {address for pattern in self._allow if (address := _parsed(pattern)) is not None}
        self._resolve = resolve or resolve_host

    async def pin(self, host: str, port: int) -> Sequence[str]:
        """Return at most MAX_ADDRESSES addresses of the host, in the order to try them.

        Raise AddressDeniedError if one of them must not be reached, and OSError if there is no such host.

        The host is a name as DNS has it (`xn--mnchen-3ya.example`), or an address.
        UnicodeError is raised if no host can have this name, for example with 64 characters between dots.
        """
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
        return list(dict.fromkeys(addresses))[:MAX_ADDRESSES]

    def _check(self, host: str, address: IPAddress, listed: bool) -> None:
        target = target_of(address)
        if target in self._literal or address in self._literal:
            return
        kind = kind_of(target)
        if kind is Kind.SENSITIVE:
            raise AddressDeniedError(
                f"{host} is {target}, which only its literal address in HTTP_REQUEST_ALLOW allows"
            )
        if kind is Kind.PRIVATE and not listed:
            raise AddressDeniedError(
                f"{host} is {target}, which is not public: add {host} to HTTP_REQUEST_ALLOW to allow it"
            )


def _on_the_wire(pattern: str) -> str:
    """Return the pattern as DNS writes names beyond ASCII: with labels such as `xn--mnchen-3ya`."""
    labels = pattern.split(".")
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels
    )


def _parsed(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return all addresses of a host, in the system's order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
