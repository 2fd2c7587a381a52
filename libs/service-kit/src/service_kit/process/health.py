"""Health checks: named async functions that use a dependency to prove it. One report serves HTTP and gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from service_kit.rpc.server import GrpcServer

DEFAULT_TIMEOUT_SECONDS = 2.0
DEFAULT_INTERVAL_SECONDS = 2.0
REPORT_KEPT_SECONDS = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check: `problem` is None if it passed; `seconds` is how long it took.

    If a check is not `needed`, its problem is shown, but the service still serves.
    """

    name: str
    problem: str | None
    seconds: float
    needed: bool = True

    @property
    def ok(self) -> bool:
        """True if the check passed."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The results of all checks, in the order in which they were added."""

    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """True if every needed check passed."""
        return all(result.ok for result in self.results if result.needed)

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the needed checks that failed."""
        return tuple(result.name for result in self.results if result.needed and not result.ok)

    @property
    def problems(self) -> dict[str, str]:
        """The problem of each failed check by its name, also of checks that are not needed."""
        return {result.name: result.problem for result in self.results if result.problem is not None}


@dataclass
class HealthChecks:
    """The checks of a service. A service without checks is healthy as soon as it runs."""

    _checks: dict[str, tuple[Callable[[], Awaitable[object]], float, bool]] = field(default_factory=dict)

    def check(
        self,
        name: str,
        function: Callable[[], Awaitable[object]],
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        needed: bool = True,
    ) -> None:
        """Add a check: `function` must return within `timeout` seconds, and raise if there is a problem.

        If the check is not `needed`, its problem is shown, and the service still counts as ready.
        """
        if name in self._checks:
            raise ValueError(f"there is a check named {name!r} already: give each its own name")
        self._checks[name] = (function, timeout, needed)

    async def run(self) -> HealthReport:
        """Run all checks concurrently. Raise nothing except CancelledError. May be repeated."""
        entries = self._checks.items()
        results = await asyncio.gather(*(_run_one(name, *entry) for name, entry in entries))
        return HealthReport(tuple(results))


class RecentReport:
    """The last report of `checks`, at most REPORT_KEPT_SECONDS old. Many requests at once share one run."""

    def __init__(self, checks: HealthChecks) -> None:
        self._checks = checks
        self._turn = asyncio.Lock()
        self._report: HealthReport | None = None
        self._made = 0.0

    async def __call__(self) -> HealthReport:
        """Return the report; if it is too old, run the checks first. Raise nothing except CancelledError."""
        now = asyncio.get_running_loop().time
        async with self._turn:
            if self._report is None or now() - self._made > REPORT_KEPT_SECONDS:
                self._report = await self._checks.run()
                self._made = now()
            return self._report


async def _run_one(
    name: str, function: Callable[[], Awaitable[object]], timeout: float, needed: bool
) -> CheckResult:
    started = time.perf_counter()
    problem = None
    try:
        async with asyncio.timeout(timeout) as limit:
            await function()
    except TimeoutError as error:
        problem = f"no answer within {timeout:g} s" if limit.expired() else _described(error)
    except Exception as error:
        problem = _described(error)
    return CheckResult(name, problem, time.perf_counter() - started, needed)


def _described(error: Exception) -> str:
    """Return the error as one line, without further lines that drivers may add."""
    first_line = str(error).split("\n", 1)[0][:200]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


async def feed_grpc_health(
    checks: HealthChecks, server: GrpcServer, interval_seconds: float = DEFAULT_INTERVAL_SECONDS
) -> None:
    """Report `checks` through `grpc.health.v1` of `server` until cancelled. Log each change.

    Each check also has an entry under its name: `Check("database")` answers for the database alone.
    """
    before: tuple[bool, set[str]] | None = None
    while True:
        report = await checks.run()
        state = (report.ok, set(report.problems))
        if state != before:
            log.info("health_changed", serving=report.ok, problems=report.problems)
            before = state
        await server.set_serving(report.ok)
        for result in report.results:
            await server.set_serving(result.ok, result.name)
        await asyncio.sleep(interval_seconds)
