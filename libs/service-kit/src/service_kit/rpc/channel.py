"""Client channels between services: kept alive, and balanced over all replicas of a service."""

from __future__ import annotations

import json
from typing import Final

import grpc

from service_kit.rpc.server import MAX_MESSAGE_BYTES

KEEPALIVE_SECONDS: Final = 30
KEEPALIVE_TIMEOUT_SECONDS: Final = 10

_OPTIONS: Final[list[tuple[str, int | str]]] = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.enable_retries", 1),
    ("grpc.enable_http_proxy", 0),  # the http_proxy of a shell is for the Internet, not for peers
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


def connect(address: str) -> grpc.aio.Channel:
    """Return a channel to `address`: `host:port`, `dns:///name:port` or `unix:/path`.

    The channel connects at its first call. Close it when you need it no more.
    """
    return grpc.aio.insecure_channel(address, options=_OPTIONS)
