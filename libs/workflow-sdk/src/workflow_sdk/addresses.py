"""The addresses of services, for clients and workers."""

from __future__ import annotations

import re

_SCHEME = r"(dns:(///|//[\w.:-]+/)?|ipv4:|ipv6:|passthrough:///)?"
_HOST = r"([\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\])"
_TARGET = re.compile(
    rf"{_SCHEME}{_HOST}:\d{{1,5}}(,{_HOST}:\d{{1,5}})*|(unix|unix-abstract):[^\s@?#]+|xds:///[\w./-]+"
)


def require_address(address: str) -> str:
    """Return the address unchanged.

    Raises ValueError if it is not a gRPC target, for example a URL with a password. The error does not show
    the address. gRPC's own error would show it, so gRPC must not get it.
    """
    if not _TARGET.fullmatch(address):
        raise ValueError(
            "the address of a service is `host:port`, `dns:///name:port` or `unix:/path`, "
            "without http:// and without a user name or password"
        )
    return address
