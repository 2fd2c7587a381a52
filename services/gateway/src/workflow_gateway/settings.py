"""The settings of the gateway."""

from __future__ import annotations

from service_kit.process.addresses import GrpcListenAddress, ListenAddress, PeerAddress
from service_kit.process.settings import (
    CallSettings,
    ConnectionAgeSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
    setting,
)


class GatewaySettings(RedisSettings, ServerSettings, CallSettings, ConnectionAgeSettings, LogSettings):
    """The settings that `python -m workflow_gateway` reads from the environment."""

    grpc_listen: GrpcListenAddress = setting("127.0.0.1:7010", "gRPC: `host:port`, or `unix:/path`")
    http_listen: ListenAddress = setting(
        "127.0.0.1:7080", "HTTP (/health, /livez, /readyz, /metrics): `host:port`"
    )
    catalog_address: PeerAddress = setting(
        "127.0.0.1:7011", "the catalog: `host:port`, or `dns:///name:port`"
    )
    orchestrator_address: PeerAddress = setting(
        "127.0.0.1:7012", "the orchestrator: `host:port`, or `dns:///name:port`"
    )
    max_watchers: int = setting(10_000, "watches open at a time", ge=1, le=1_000_000)
    max_streams: int = setting(1_000, "forwarded streams open at a time, for each service", ge=1, le=100_000)
