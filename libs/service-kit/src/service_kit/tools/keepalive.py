"""The socket options that let the kernel notice within 10 to 11 s that a peer is gone.

Keepalive probes work on an idle connection. TCP_USER_TIMEOUT works while sent bytes are unacknowledged, when
the kernel sends no probes. Neither of them detects a peer whose kernel still acknowledges, such as a stopped
process or a proxy that lost its other side: see `service_kit.data.silence`.
"""

from __future__ import annotations

import socket

IDLE_SECONDS = 5
INTERVAL_SECONDS = 2
PROBES = 3
USER_TIMEOUT_MS = 10_000

# By name, because not every platform has all of them.
_TCP_OPTIONS = {
    "TCP_KEEPIDLE": IDLE_SECONDS,
    "TCP_KEEPINTVL": INTERVAL_SECONDS,
    "TCP_KEEPCNT": PROBES,
    "TCP_USER_TIMEOUT": USER_TIMEOUT_MS,
}


def tcp_options() -> dict[int, int]:
    """Return the options of the level IPPROTO_TCP that this platform has, with their values."""
    return {getattr(socket, name): value for name, value in _TCP_OPTIONS.items() if hasattr(socket, name)}


def keep_alive(sock: socket.socket) -> None:
    """Set the options on a TCP socket. Do nothing for a Unix socket, whose peer is on this machine."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in tcp_options().items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
