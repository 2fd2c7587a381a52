"""Every log line is one JSON object with time, level, service and event, whoever wrote it."""

import io
import json
import logging
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from service_kit.process.settings import LogSettings
from service_kit.process.telemetry import configure_logging
from service_kit.tools.rpc_call import RpcCall, current_call

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(logging_as_before: None) -> Lines:
    stream = io.StringIO()
    configure_logging("greeter", LogSettings(log_level="info"), stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_service_event_and_what_was_bound(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(execution_id="e1"):
        structlog.get_logger().info("execution_started", n=1)
    (line,) = lines()

    assert line | {"time": None} == {
        "time": None, "level": "info", "service": "greeter", "event": "execution_started",
        "execution_id": "e1", "n": 1,
    }  # fmt: skip
    assert datetime.fromisoformat(line["time"]).tzinfo == UTC


def test_levels_below_the_least_are_left_out(lines: Lines) -> None:
    structlog.get_logger().debug("unimportant")
    logging.getLogger("some.library").debug("unimportant")

    assert lines() == []


def test_lines_of_the_standard_library_and_warnings_have_the_same_shape(lines: Lines) -> None:
    logging.getLogger("some.library").warning("disk %s", "full")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", UserWarning, stacklevel=1)
    first, second = lines()

    assert (first["event"], first["logger"], first["level"]) == ("disk full", "some.library", "warning")
    assert first["service"] == "greeter"
    assert "old thing" in second["event"]


def test_a_traceback_is_told_without_the_values_of_variables(lines: Lines) -> None:
    password = "hunter" + "2"
    try:
        raise ValueError(f"{len(password)} characters")
    except ValueError:
        structlog.get_logger().exception("login_failed")
    (line,) = lines()

    assert line["exception"][0]["exc_value"] == "7 characters"
    assert "hunter2" not in json.dumps(line)


def test_lines_within_an_rpc_name_the_call(lines: Lines) -> None:
    class Context:
        def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
            return (("x-request-id", "r1"), ("authorization", "secret"))

    token = current_call.set(RpcCall("/s.S/M", Context()))
    structlog.get_logger().info("greeted")
    current_call.reset(token)
    (line,) = lines()
    assert (line["rpc"], line["request_id"]) == ("/s.S/M", "r1")
    assert "secret" not in json.dumps(line)
