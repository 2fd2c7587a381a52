"""Client channels between services: kept alive, balanced over all pods, retried where that is harmless."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc

from service_kit.rpc.server import MAX_MESSAGE_BYTES

KEEPALIVE_SECONDS = 30
KEEPALIVE_TIMEOUT_SECONDS = 10


def service_config(idempotent: Sequence[str] = ()) -> str:
    """Round-robin over the addresses; UNAVAILABLE is retried for `idempotent` methods.

    Four attempts within about 2 s. Methods are full names (`package.Service/Method`), or `package.Service`
    for all methods of a service.
    """
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if idempotent:
        config["methodConfig"] = [
            {
                "name": [_method_name(name) for name in idempotent],
                "waitForReady": True,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return json.dumps(config)


def _method_name(full_name: str) -> dict[str, str]:
    service, _, method = full_name.removeprefix("/").partition("/")
    return {"service": service, "method": method} if method else {"service": service}


def channel_options(idempotent: Sequence[str] = ()) -> list[tuple[str, int | str]]:
    """The options of `connect`, for those who make their channel themselves."""
    return [
        ("grpc.service_config", service_config(idempotent)),
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


def connect(
    address: str, *, idempotent: Sequence[str] = (), credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """A channel to `address` (`host:port`, `dns:///name:port` or `unix:/path`); it connects when called.

    Calls of `idempotent` methods wait until the peer is there, so give them a deadline. Close it in the end.
    """
    options = channel_options(idempotent)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)
