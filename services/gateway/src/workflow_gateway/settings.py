"""The gateway's settings."""

from __future__ import annotations

from service_kit.settings import ConnectionAgeSettings, LogSettings, RedisSettings, ServerSettings, setting


class GatewaySettings(RedisSettings, ServerSettings, ConnectionAgeSettings, LogSettings):
    """What `python -m workflow_gateway` reads from the environment."""

    grpc_listen: str = setting(
        "127.0.0.1:7000", "gRPC: `host:port`, or `unix:/path`", pattern=r"^(.+:\d{1,5}|unix:.+)$"
    )
    http_listen: str = setting(
        "127.0.0.1:7080", "HTTP (/health, /livez, /readyz, /metrics): `host:port`", pattern=r"^.+:\d{1,5}$"
    )
    catalog_address: str = setting("127.0.0.1:7001", "the catalog: `host:port`, or `dns:///name:port`")
    orchestrator_address: str = setting(
        "127.0.0.1:7002", "the orchestrator: `host:port`, or `dns:///name:port`"
    )
    max_watchers: int = setting(10_000, "watches open at a time", ge=1, le=1_000_000)
    max_streams: int = setting(1_000, "forwarded streams open at a time, for each service", ge=1, le=100_000)
