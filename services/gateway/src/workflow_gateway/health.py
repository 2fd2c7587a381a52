"""The health of the system: the readiness that each service reports, and a PING of Redis.

The gateway has no way to the database of its own. A service checks its database, its pipeline and its duties,
and answers from memory (`grpc.health.v1`); so slow reads of users cannot make the gateway unready, as they
could if it proved itself with a read.
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
from service_kit.errors import from_rpc_error
from service_kit.health import CheckResult, HealthChecks, HealthReport
from service_kit.redis import check as ping
from service_kit.server import GrpcServer

CATALOG = "catalog"
ORCHESTRATOR = "orchestrator"
REDIS = "redis"
CHECK_TIMEOUT_SECONDS = 2.0
FEED_SECONDS = 2.0
ANSWER_KEPT_SECONDS = 0.5

log = structlog.get_logger(__name__)


class CheckFailedError(Exception):
    """A part does not work; the text says how that shows."""


class WorkPath:
    """The checks of what the gateway needs."""

    def __init__(
        self,
        catalog: grpc.aio.Channel,
        orchestrator: grpc.aio.Channel,
        redis: Redis,
        doorbell_works: Callable[[], bool],
    ) -> None:
        self._catalog = HealthStub(catalog)
        self._orchestrator = HealthStub(orchestrator)
        self._redis = redis
        self._doorbell_works = doorbell_works
        self.needed = HealthChecks()
        self.needed.check(CATALOG, self._check_catalog, CHECK_TIMEOUT_SECONDS)
        self.needed.check(ORCHESTRATOR, self._check_orchestrator, CHECK_TIMEOUT_SECONDS)
        self.all = HealthChecks()
        self.all.check(CATALOG, self._check_catalog, CHECK_TIMEOUT_SECONDS)
        self.all.check(ORCHESTRATOR, self._check_orchestrator, CHECK_TIMEOUT_SECONDS)
        self.all.check(REDIS, self._check_redis, CHECK_TIMEOUT_SECONDS)

    async def _check_catalog(self) -> None:
        await _serving(self._catalog)

    async def _check_orchestrator(self) -> None:
        await _serving(self._orchestrator)

    async def _check_redis(self) -> None:
        await ping(self._redis)
        if not self._doorbell_works():
            raise CheckFailedError("not subscribed to the events of executions")


async def _serving(service: HealthStub) -> None:
    try:
        answer = await service.Check(HealthCheckRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise CheckFailedError(f"{error.code().name}: {from_rpc_error(error).message}") from None
    if answer.status != HealthCheckResponse.SERVING:
        raise CheckFailedError("it is not ready: its own /readyz says why")


class HealthAnswer:
    """`GET /health`: what it says, and that many who ask at once cost one round of checks."""

    def __init__(self, checks: HealthChecks) -> None:
        self._checks = checks
        self._turn = asyncio.Lock()
        self._report: HealthReport | None = None
        self._made = 0.0

    async def __call__(self) -> tuple[int, Mapping[str, Any]]:
        """The HTTP status and the JSON."""
        report = await self._recent_report()
        return (200 if report.ok else 503), body(report)

    async def _recent_report(self) -> HealthReport:
        now = asyncio.get_running_loop().time
        async with self._turn:
            if self._report is None or now() - self._made > ANSWER_KEPT_SECONDS:
                self._report = await self._checks.run()
                self._made = now()
            return self._report


def body(report: HealthReport) -> dict[str, Any]:
    """The users' three words; where something fails, also what."""
    by_name = {result.name: result for result in report.results}
    database = by_name[CATALOG].ok and by_name[ORCHESTRATOR].ok
    answer: dict[str, Any] = {
        "status": "healthy" if report.ok else "unhealthy",
        "database": _word(database),
        "redis": _word(by_name[REDIS].ok),
    }
    if not report.ok:
        answer["problems"] = {result.name: result.problem for result in report.results if not result.ok}
    return answer


def _word(ok: bool) -> str:
    return "connected" if ok else "disconnected"


async def feed_grpc_health(
    checks: HealthChecks,
    server: GrpcServer,
    services: Mapping[str, str],
    interval_seconds: float = FEED_SECONDS,
) -> None:
    """Until cancelled: keep each of `services` (its name: the check it stands on) in step with the checks.

    The server as a whole (the empty name) serves while all of them do.
    """
    before: tuple[str, ...] | None = None
    while True:
        report = await checks.run()
        results: dict[str, CheckResult] = {result.name: result for result in report.results}
        await server.set_serving(report.ok, "")
        for service, check in services.items():
            await server.set_serving(results[check].ok, service)
        if report.failing != before:
            problems = {result.name: result.problem for result in report.results if not result.ok}
            log.info("health_changed", serving=report.ok, problems=problems)
            before = report.failing
        await asyncio.sleep(interval_seconds)
