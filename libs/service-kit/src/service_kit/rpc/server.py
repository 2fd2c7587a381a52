"""The gRPC server of a service: interceptor, health, reflection, limits, and its drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2

from service_kit.rpc.call_room import CallRoom
from service_kit.rpc.interceptors import MapError, RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.standard_services import STANDARD_NAMES, StandardServices

MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024
HEALTH_TIMEOUT_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Registration:
    """A gRPC service: its full name (for health and reflection), and a function that adds it to a server.

    Registration.of(servicer, pb2.DESCRIPTOR.services_by_name["Greeter"], add_GreeterServicer_to_server)
    """

    name: str
    add: Callable[[Any], None]

    @classmethod
    def of(cls, servicer: Any, descriptor: Any, add: Callable[[Any, Any], None]) -> Registration:
        """Return the registration of a servicer with its generated `add_..._to_server`."""
        return cls(descriptor.full_name, lambda server: add(servicer, server))

    @classmethod
    def generic(cls, name: str, handler: grpc.GenericRpcHandler) -> Registration:
        """Return the registration of a generic handler, such as one that forwards bytes of the service
        `name`.
        """
        return cls(name, lambda server: server.add_generic_rpc_handlers((handler,)))


@dataclass(frozen=True)
class ServerLimits:
    """The limits of one server. Sizes are in bytes, spans in seconds."""

    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_metadata_bytes: int = 16 * 1024
    max_concurrent_streams: int = 10_000
    """Concurrent calls of one connection. Some clients hold further calls back; Python's fails with
    UNAVAILABLE.
    """
    max_calls: int = 20_000
    """Concurrent calls of all connections; further calls fail with OVERLOADED."""
    max_unread_calls: int = 10_000
    """Calls that have arrived and wait for their turn. gRPC cancels further calls without a reason. Calls are
    served in order, so a lower limit would shorten the wait, and cancel more calls.
    """
    max_connection_age_seconds: float | None = None
    max_connection_age_grace_seconds: float = 30.0
    keepalive_seconds: float = 30.0
    keepalive_timeout_seconds: float = 10.0
    min_client_ping_seconds: float = 10.0


class GrpcServer:
    """Serves `registrations` at `listen` (`host:port`, port 0 for a free one, or `unix:/path`).

    Health (`grpc.health.v1`, each service by name and "" for all) starts as NOT_SERVING; call `set_serving`.
    The hooks `on_drain` run when the server stops and end long streams, which would otherwise delay `stop`
    for the whole grace. The streams of health and of reflection need no hook. `ServerLimits.max_calls` does
    not apply to the services `always_served` and to health.
    """

    def __init__(
        self,
        listen: str,
        registrations: Sequence[Registration],
        *,
        metrics: RpcMetrics,
        map_error: MapError | None = None,
        unchecked: Collection[str] = (),
        on_drain: Sequence[Callable[[], Awaitable[None]]] = (),
        limits: ServerLimits = ServerLimits(),
        always_served: Collection[str] = (),
    ) -> None:
        self.port = 0
        self._listen = listen
        self._names = ["", *(registration.name for registration in registrations)]
        names = [*self._names[1:], *STANDARD_NAMES]
        interceptor = RpcInterceptor(
            metrics,
            map_error=map_error,
            unchecked=unchecked,
            methods=sorted(_methods_of(names)),
            room=CallRoom(limits.max_calls),
            always_served=[*always_served, *STANDARD_NAMES],
        )
        self._server = grpc.aio.server(interceptors=[interceptor], options=_options(limits))
        self._standard = StandardServices(self._server, self._names[1:])
        self._health = self._standard.health
        self._on_drain = [*on_drain, self._standard.drain]
        for registration in registrations:
            registration.add(self._server)

    async def start(self) -> int:
        """Listen, and return the port. Raise RuntimeError with the address if it is not free."""
        await self.set_serving(False)
        try:
            self.port = self._server.add_insecure_port(self._listen)
        except RuntimeError:
            message = f"cannot listen at {self._listen}: free it, or set GRPC_LISTEN to another address"
            raise RuntimeError(message) from None
        await self._server.start()
        log.info("grpc_server_started", listen=self._listen, port=self.port)
        return self.port

    async def set_serving(self, serving: bool, *names: str) -> None:
        """Set the health of `names`; without names, the health of the server and of each service.

        A name may also be a part of the service, such as "database". The call has no effect once the server
        stops.
        """
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in names or self._names:
            await self._health.set(name, status)

    async def stop(self, grace_seconds: float) -> None:
        """Report NOT_SERVING, run the drain hooks, then refuse new calls and wait for those in flight.

        All of this takes at most `grace_seconds`. The hooks run concurrently; their errors are logged. May be
        repeated.
        """
        deadline = asyncio.get_running_loop().time() + grace_seconds
        await _within(HEALTH_TIMEOUT_SECONDS, self._health.enter_graceful_shutdown(), "health_not_updated")
        hooks = [_within(grace_seconds, hook(), "drain_hook_failed") for hook in self._on_drain]
        await asyncio.gather(*hooks)
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        await self._server.stop(remaining)
        log.info("grpc_server_stopped", port=self.port)


async def _within(seconds: float, work: Awaitable[None], failed_event: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception as error:
        log.warning(failed_event, error=repr(error))


def _methods_of(services: Iterable[str]) -> Iterator[str]:
    """Return the paths of the methods of the services whose contracts are loaded."""
    for service in services:
        with suppress(KeyError):
            for method in descriptor_pool.Default().FindServiceByName(service).methods:
                yield f"/{service}/{method.name}"


def _options(limits: ServerLimits) -> list[tuple[str, int]]:
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        # Beyond the first of the two, gRPC cancels calls at random. Its default is 1,000.
        ("grpc.server.max_pending_requests", limits.max_unread_calls),
        ("grpc.server.max_pending_requests_hard_limit", limits.max_unread_calls),
        ("grpc.keepalive_time_ms", int(limits.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", int(limits.min_client_ping_seconds * 1000)),
        ("grpc.http2.max_ping_strikes", 3),
    ]
    if limits.max_connection_age_seconds is not None:
        age, grace = limits.max_connection_age_seconds, limits.max_connection_age_grace_seconds
        options.append(("grpc.max_connection_age_ms", int(age * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", int(grace * 1000)))
    return options
