"""Addresses in settings: at which a service listens, and at which it finds another service."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_HOST_PORT = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]):(?P<port>[0-9]{1,5})")
_UNIX = re.compile(r"unix:(//)?[^\s@?#]{1,100}")
_RESOLVED = re.compile(r"(dns:(///|//[\w.:-]+/)?|ipv4:|ipv6:|passthrough:///)?(?P<rest>[^\s/@?#]{1,1000})")


def listen_address(text: str) -> str:
    """Return the text if it is `host:port`; port 0 takes a free port. Otherwise raise ValueError."""
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError("must be `host:port` with a port from 0 to 65535 (0 takes a free one)")
    return text


def grpc_listen_address(text: str) -> str:
    """Return the text if it is `host:port` or `unix:/path`. Otherwise raise ValueError."""
    if _UNIX.fullmatch(text):
        return text
    try:
        return listen_address(text)
    except ValueError as error:
        raise ValueError(f"{error}, or `unix:/path` of at most 100 characters") from None


def peer_address(text: str) -> str:
    """Return the text if gRPC can connect to it; commas separate several addresses.

    Otherwise raise ValueError without the text, because it may contain a password by mistake.
    """
    match = _RESOLVED.fullmatch(text)
    peers = match["rest"].split(",") if match else []
    if _UNIX.fullmatch(text) or (peers and all(_is_peer(peer) for peer in peers)):
        return text
    raise ValueError("must be `host:port` with a port from 1 to 65535, `dns:///name:port` or `unix:/path`")


def _is_peer(text: str) -> bool:
    match = _HOST_PORT.fullmatch(text)
    return match is not None and 0 < int(match["port"]) < 65_536


ListenAddress = Annotated[str, AfterValidator(listen_address)]
GrpcListenAddress = Annotated[str, AfterValidator(grpc_listen_address)]
PeerAddress = Annotated[str, AfterValidator(peer_address)]
