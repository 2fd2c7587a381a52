"""Check that the spans of timeouts and retry policies fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import (
    DEFAULT_EXECUTION_TIMEOUT,
    DEFAULT_MAXIMUM_INTERVAL,
    DEFAULT_START_TO_CLOSE,
    LONG_ATTEMPT,
    MAX_SPAN,
)
from workflow_catalog.domain.problem import Problem, warning


def time_problems(definition: Mapping[str, Json]) -> Iterator[Problem]:
    """Yield problems: missing or useless heartbeats, too long timeouts, too long first back-offs."""
    execution_timeout = _span(definition, "execution_timeout") or DEFAULT_EXECUTION_TIMEOUT
    defaults = definition.get("defaults", {})
    yield from _own_problems("defaults", defaults, execution_timeout)
    shared = defaults.get("timeouts", {})
    if "heartbeat" in shared:
        yield from _heartbeat_problems("defaults", shared, shared)
    for index, task in enumerate(definition["tasks"]):
        field = f"tasks[{index}]"
        yield from _own_problems(field, task, execution_timeout)
        own = task.get("timeouts", {})
        yield from _heartbeat_problems(field, own, {**shared, **own})


def _own_problems(field: str, part: Mapping[str, Json], execution_timeout: timedelta) -> Iterator[Problem]:
    """Yield problems within the timeouts and the retry policy of a task or of the defaults."""
    timeouts = part.get("timeouts", {})
    for name in ("start_to_close", "schedule_to_start"):
        span = _span(timeouts, name)
        if span and span > execution_timeout:
            yield Problem(
                f"{field}.timeouts.{name}",
                f"is longer than the execution may take ({_shown(execution_timeout)}): "
                "shorten it, or raise execution_timeout",
            )
    yield from _retry_problems(f"{field}.retry_policy", part.get("retry_policy", {}))


def _retry_problems(field: str, policy: Mapping[str, Json]) -> Iterator[Problem]:
    initial = _span(policy, "initial_interval")
    maximum = _span(policy, "maximum_interval") or DEFAULT_MAXIMUM_INTERVAL
    if initial and initial > maximum:
        yield Problem(
            f"{field}.initial_interval",
            f"is longer than maximum_interval ({_shown(maximum)}): shorten it, or raise maximum_interval",
        )
    if policy.get("maximum_attempts") == 1:
        idle = [name for name in _FOR_RETRIES if name in policy]
        if idle:
            sentence = "has no effect if maximum_attempts is 1: remove it, or allow more attempts"
            yield warning(f"{field}.{idle[0]}", sentence)


_FOR_RETRIES = (
    "initial_interval",
    "backoff_coefficient",
    "maximum_interval",
    "jitter",
    "non_retryable_error_types",
)


def _heartbeat_problems(field: str, own: Mapping[str, Json], merged: Mapping[str, Json]) -> Iterator[Problem]:
    """Yield problems of the heartbeat. `own` has the part's timeouts, `merged` also has the defaults."""
    start_to_close = _span(merged, "start_to_close") or DEFAULT_START_TO_CLOSE
    heartbeat = _span(own, "heartbeat")
    if start_to_close > LONG_ATTEMPT and "heartbeat" not in merged:
        yield Problem(
            f"{field}.timeouts.heartbeat",
            f"is required if start_to_close ({_shown(start_to_close)}) is over {_shown(LONG_ATTEMPT)}: "
            "set it to how long the handler may be silent",
        )
    if heartbeat and heartbeat > start_to_close:
        yield Problem(
            f"{field}.timeouts.heartbeat",
            f"is longer than start_to_close ({_shown(start_to_close)}), so it can never expire: shorten it",
        )


def _span(part: Mapping[str, Json], name: str) -> timedelta | None:
    """Return a duration given in the proto's JSON form, such as `1.5s`, limited to MAX_SPAN."""
    if name not in part:
        return None
    seconds = float(part[name].removesuffix("s"))
    return timedelta(seconds=max(-MAX_SPAN.total_seconds(), min(seconds, MAX_SPAN.total_seconds())))


def _shown(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:g} s"
