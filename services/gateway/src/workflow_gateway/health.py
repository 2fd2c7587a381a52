"""The health of the system: the readiness that each service reports, and a PING of Redis.

The gateway does not use the database. Each service checks its database, its pipeline and its duties, and
answers from memory (`grpc.health.v1`). So slow reads of users cannot make the gateway unready, as a trial
read could.

Three questions have three answers. `/health`: does the whole system work? `/readyz`, and the empty name of
`grpc.health.v1`: does this gateway serve? Without the catalog it does, because watches, reads and workers go
on. The name of a service in `grpc.health.v1`: would this service answer a call?
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import structlog
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from redis.asyncio import Redis
from service_kit.data.redis import check as ping
from service_kit.errors import from_rpc_error
from service_kit.process.health import CheckResult, HealthChecks, HealthReport, RecentReport
from service_kit.rpc.server import GrpcServer

CATALOG = "catalog"
ORCHESTRATOR = "orchestrator"
REDIS = "redis"
DATABASE = "database"
"""The name under which a service reports its database alone."""

CHECK_TIMEOUT_SECONDS = 2.0
FEED_SECONDS = 2.0
CONNECTED, DISCONNECTED, UNKNOWN = "connected", "disconnected", "unknown"

_SERVING = HealthCheckResponse.SERVING

log = structlog.get_logger(__name__)


class CheckFailedError(Exception):
    """A part does not work; the text describes the problem."""


class Peer:
    """A service behind the gateway, as its `grpc.health.v1` describes it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._health = HealthStub(channel)
        self.database: bool | None = None
        """True if the service reached its database when it was last asked. None: it gave no answer."""

    async def check(self) -> None:
        """Raise CheckFailedError if the service does not answer, or says that it is not ready."""
        ready, self.database = await asyncio.gather(self._ask(""), self._ask_for_the_database())
        if isinstance(ready, grpc.aio.AioRpcError):
            raise CheckFailedError(f"{ready.code().name}: {from_rpc_error(ready).message}")
        if ready != _SERVING:
            raise CheckFailedError("it is not ready: its own /readyz says why")

    async def _ask_for_the_database(self) -> bool | None:
        answer = await self._ask(DATABASE)
        # A service that has just started, or one of an older release, has no such entry.
        return None if isinstance(answer, grpc.aio.AioRpcError) else answer == _SERVING

    async def _ask(self, name: str) -> int | grpc.aio.AioRpcError:
        request = HealthCheckRequest(service=name)
        try:
            return int((await self._health.Check(request, timeout=CHECK_TIMEOUT_SECONDS)).status)
        except grpc.aio.AioRpcError as error:
            return error


class WorkPath:
    """The checks of all parts behind the gateway."""

    def __init__(
        self,
        catalog: grpc.aio.Channel,
        orchestrator: grpc.aio.Channel,
        redis: Redis,
        doorbell_works: Callable[[], bool],
    ) -> None:
        self._peers = {CATALOG: Peer(catalog), ORCHESTRATOR: Peer(orchestrator)}
        self._redis = redis
        self._doorbell_works = doorbell_works
        self.all = self._checks(needed=True)
        """For `/health`: the system works if each of them does."""
        self.shown = self._checks(needed=False)
        """For `/readyz`: it shows them, but this process serves even if they fail."""
        self._draining = False
        self.shown.check("gateway", self._check_gateway)

    def _checks(self, *, needed: bool) -> HealthChecks:
        checks = HealthChecks()
        for name, peer in self._peers.items():
            checks.check(name, peer.check, CHECK_TIMEOUT_SECONDS, needed=needed)
        checks.check(REDIS, self._check_redis, CHECK_TIMEOUT_SECONDS, needed=needed)
        return checks

    async def drain(self) -> None:
        """Let `/readyz` fail from now on. This is a hook of the gRPC server's drain."""
        self._draining = True

    def database(self) -> str:
        """Return the state of the database as the services last reported it, as `/health` shows it.

        Return "unknown" if no service reported it: a service that does not answer says nothing about its
        database.
        """
        said = [peer.database for peer in self._peers.values()]
        if False in said:
            return DISCONNECTED
        return CONNECTED if True in said else UNKNOWN

    async def _check_gateway(self) -> None:
        if self._draining:
            raise CheckFailedError("it is shutting down: use another gateway")

    async def _check_redis(self) -> None:
        await ping(self._redis)
        if not self._doorbell_works():
            raise CheckFailedError("not subscribed to the events of executions")


class HealthAnswer:
    """The answer of `GET /health`. Many requests at once share one run of the checks."""

    def __init__(self, work_path: WorkPath) -> None:
        self._work_path = work_path
        self._recent_report = RecentReport(work_path.all)

    async def __call__(self) -> tuple[int, Mapping[str, Any]]:
        """Return the HTTP status and the JSON."""
        report = await self._recent_report()
        return (200 if report.ok else 503), body(report, self._work_path.database())


def body(report: HealthReport, database: str) -> dict[str, Any]:
    """Return status, database and redis for users; if a check fails, also its problem."""
    redis = next(result for result in report.results if result.name == REDIS)
    answer: dict[str, Any] = {
        "status": "healthy" if report.ok else "unhealthy",
        "database": database,
        "redis": CONNECTED if redis.ok else DISCONNECTED,
    }
    if not report.ok:
        answer["problems"] = report.problems
    return answer


async def feed_grpc_health(
    checks: HealthChecks,
    server: GrpcServer,
    services: Mapping[str, str],
    interval_seconds: float = FEED_SECONDS,
) -> None:
    """Report the checks through `grpc.health.v1` until cancelled. `services` maps a service to its check.

    The server as a whole (the empty name) is SERVING until it stops.
    """
    await server.set_serving(True, "")
    before: set[str] | None = None
    while True:
        report = await checks.run()
        results: dict[str, CheckResult] = {result.name: result for result in report.results}
        for service, check in services.items():
            await server.set_serving(results[check].ok, service)
        failing = set(report.problems)
        if failing != before:
            log.info("health_changed", problems=report.problems)
            before = failing
        await asyncio.sleep(interval_seconds)
