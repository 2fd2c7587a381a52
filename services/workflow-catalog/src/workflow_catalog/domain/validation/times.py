"""Timeouts and retry policies: whether their spans fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.errors import Problem
from workflow_catalog.domain.limits import (
    DEFAULT_EXECUTION_TIMEOUT,
    DEFAULT_MAXIMUM_INTERVAL,
    DEFAULT_START_TO_CLOSE,
    LONG_ATTEMPT,
)


def time_problems(definition: Mapping[str, Json]) -> Iterator[Problem]:
    """Missing or useless heartbeats, attempts longer than the execution, back-offs above their maximum."""
    execution_timeout = _span(definition, "execution_timeout") or DEFAULT_EXECUTION_TIMEOUT
    defaults = definition.get("defaults", {})
    default_timeouts = defaults.get("timeouts", {})
    yield from _own_problems("defaults", defaults, execution_timeout)
    for index, task in enumerate(definition["tasks"]):
        field = f"tasks[{index}]"
        yield from _own_problems(field, task, execution_timeout)
        yield from _heartbeat_problems(field, {**default_timeouts, **task.get("timeouts", {})})


def _own_problems(field: str, part: Mapping[str, Json], execution_timeout: timedelta) -> Iterator[Problem]:
    """Problems within the timeouts and the retry policy of a task or of the defaults."""
    timeouts = part.get("timeouts", {})
    start_to_close, heartbeat = _span(timeouts, "start_to_close"), _span(timeouts, "heartbeat")
    if start_to_close and start_to_close > execution_timeout:
        yield Problem(
            f"{field}.timeouts.start_to_close",
            f"is longer than the execution may take ({_shown(execution_timeout)}): "
            "shorten it, or raise execution_timeout",
        )
    if start_to_close and heartbeat and heartbeat > start_to_close:
        yield Problem(
            f"{field}.timeouts.heartbeat",
            f"is longer than start_to_close ({_shown(start_to_close)}), so it never runs out: shorten it",
        )
    policy = part.get("retry_policy", {})
    initial = _span(policy, "initial_interval")
    maximum = _span(policy, "maximum_interval") or DEFAULT_MAXIMUM_INTERVAL
    if initial and initial > maximum:
        yield Problem(
            f"{field}.retry_policy.initial_interval",
            f"is longer than maximum_interval ({_shown(maximum)}): shorten it, or raise maximum_interval",
        )


def _heartbeat_problems(field: str, timeouts: Mapping[str, Json]) -> Iterator[Problem]:
    start_to_close = _span(timeouts, "start_to_close") or DEFAULT_START_TO_CLOSE
    if start_to_close > LONG_ATTEMPT and "heartbeat" not in timeouts:
        yield Problem(
            f"{field}.timeouts.heartbeat",
            f"is required where start_to_close ({_shown(start_to_close)}) is over {_shown(LONG_ATTEMPT)}: "
            "set it to how long the handler may be silent",
        )


def _span(part: Mapping[str, Json], name: str) -> timedelta | None:
    """A duration in the proto's JSON form, as `1.5s`."""
    return timedelta(seconds=float(part[name].removesuffix("s"))) if name in part else None


def _shown(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:g} s"
