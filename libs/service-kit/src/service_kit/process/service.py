"""The servers of a service: they start together, and they stop in an order that callers can rely on.

    gRPC listens -> HTTP listens -> the service runs -> gRPC drains -> HTTP stops

So `/readyz` answers only if the gRPC server listens, and it goes on to answer while the server drains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry

from service_kit.process.duties import always
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.process.http import HealthAnswer, HttpServer, make_app
from service_kit.process.settings import ServerSettings
from service_kit.rpc.interceptors import MapError
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration, ServerLimits
from service_kit.rpc.stream_age import StreamAge
from service_kit.tools.tasks import cancel_all

FeedHealth = Callable[[HealthChecks, GrpcServer], Awaitable[None]]
"""Keeps `grpc.health.v1` of the server up to date, until cancelled."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a running service; each has the `port` at which it listens."""

    grpc: GrpcServer
    http: HttpServer


@asynccontextmanager
async def running(
    settings: ServerSettings,
    registrations: Sequence[Registration],
    checks: HealthChecks,
    *,
    map_error: MapError | None = None,
    unchecked: Collection[str] = (),
    always_served: Collection[str] = (),
    on_drain: Sequence[Callable[[], Awaitable[None]]] = (),
    limits: ServerLimits | None = None,
    health: HealthAnswer | None = None,
    feed: FeedHealth = feed_grpc_health,
    grace_seconds: float | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> AsyncIterator[Servers]:
    """Run the servers of a service while the block lasts, then drain and stop them.

    `checks` decide what `/readyz` and, through `feed`, `grpc.health.v1` answer. `health` answers `/health`.
    The other arguments up to `limits` are those of GrpcServer. Calls in flight get `grace_seconds` to finish,
    by default `settings.shutdown_grace`. If a process runs several services, give each one a `registry`.
    Raise RuntimeError (gRPC) or OSError (HTTP) if an address is taken.
    """
    http = HttpServer(settings.http_listen, make_app(checks, health=health, registry=registry))
    server = GrpcServer(
        settings.grpc_listen,
        registrations,
        metrics=RpcMetrics(registry),
        map_error=map_error,
        unchecked=unchecked,
        always_served=always_served,
        on_drain=on_drain,
        limits=limits or ServerLimits(),
    )
    grace = settings.shutdown_grace if grace_seconds is None else grace_seconds
    async with AsyncExitStack() as parts:
        parts.push_async_callback(http.stop)  # the last step of all, so that health answers in the drain
        await server.start()
        feeding = asyncio.create_task(always("gRPC health", partial(feed, checks, server)))
        parts.push_async_callback(cancel_all, [feeding])
        parts.push_async_callback(server.stop, grace)
        await http.start()
        yield Servers(server, http)


def limits_of(max_calls: int, age: StreamAge) -> ServerLimits:
    """Return the limits of a server with this number of calls at a time and this age of connections."""
    return ServerLimits(
        max_calls=max_calls,
        max_connection_age_seconds=age.connection_seconds or None,
        max_connection_age_grace_seconds=age.grace_seconds,
    )
