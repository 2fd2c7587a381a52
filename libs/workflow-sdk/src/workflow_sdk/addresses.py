"""Addresses of services that a client or a worker connects to."""

from __future__ import annotations

import re

_SCHEME = r"(dns:(///|//[\w.:-]+/)?|ipv4:|ipv6:|passthrough:///)?"
_HOST = r"([\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\])"
_TARGET = re.compile(
    rf"{_SCHEME}{_HOST}:\d{{1,5}}(,{_HOST}:\d{{1,5}})*|(unix|unix-abstract):[^\s@?#]+|xds:///[\w./-]+"
)


def require_address(address: str) -> str:
    """Return the address as it is.

    Raises ValueError if it is no target of gRPC, such as a URL with a password. The error does not repeat it,
    and gRPC, which would, never gets it.
    """
    if not _TARGET.fullmatch(address):
        raise ValueError(
            "the address of a service is `host:port`, `dns:///name:port` or `unix:/path`, "
            "without http:// and without a user name or password"
        )
    return address
