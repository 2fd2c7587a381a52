"""Checks in a child process end, whatever the schema and the value are."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workflow_schemas.process import CheckUnavailableError, SchemaProcess

NUMBER = json.dumps({"type": "integer"})
LONG = {"items": {"enum": [{"k": i} for i in range(10_000)]}}, [{"k": 9999}] * 20_000


@pytest.fixture
def process() -> Iterator[SchemaProcess]:
    made = SchemaProcess(cpu_seconds=1)
    yield made
    made.close()


def check(process: SchemaProcess, schema: Any, value: Any) -> list[tuple[str, str, str]]:
    return process.check(json.dumps(schema), json.dumps(value), "input")


def pid_of(process: SchemaProcess) -> int:
    assert process._child is not None
    return process._child.pid


def test_a_value_that_fits_has_no_violations(process: SchemaProcess) -> None:
    assert process.check(NUMBER, "1", "input") == []


def test_violations_come_with_place_sentence_and_rule(process: SchemaProcess) -> None:
    found = check(process, {"properties": {"a": {"type": "integer"}}}, {"a": "x"})
    assert found == [("input.a", '"x" is not of type "integer"', "properties/a/type")]


def test_one_process_makes_many_checks(process: SchemaProcess) -> None:
    process.check(NUMBER, "1", "input")
    first = pid_of(process)

    assert process.check(NUMBER, '"a"', "input") != []
    assert pid_of(process) == first


def test_a_check_that_takes_too_long_is_a_violation_and_the_next_one_is_made(process: SchemaProcess) -> None:
    assert check(process, *LONG) == [
        (
            "input",
            "takes over 1 s to check against the schema: send less, "
            "or publish a version with a simpler schema",
            "",
        )
    ]
    assert process.check(NUMBER, "1", "input") == []


def test_a_check_that_takes_too_much_memory_is_a_violation() -> None:
    process = SchemaProcess(memory_bytes=80 * 1024 * 1024)
    ((_, what, _),) = check(process, {"items": {}}, [[]] * 1_000_000)
    assert what.startswith("takes too much memory")
    assert process.check(NUMBER, "1", "input") == []
    process.close()


def test_a_violation_that_cannot_be_described_in_time_is_told_without_its_place() -> None:
    """An alternative that does not fit is described with everything that is wrong in each branch."""
    process = SchemaProcess(memory_bytes=80 * 1024 * 1024)
    schema = {"anyOf": [{"allOf": [{"maxItems": 1}] * 500}]}
    ((where, what, _),) = check(process, schema, [0] * 50_000)
    assert (where, what.startswith("breaks the schema, but")) == ("input", True)
    process.close()


def test_a_process_that_was_killed_is_started_again(process: SchemaProcess) -> None:
    process.check(NUMBER, "1", "input")
    os.kill(pid_of(process), signal.SIGKILL)

    assert process.check(NUMBER, '"a"', "input") == [("input", '"a" is not of type "integer"', "type")]


def test_a_schema_that_is_not_valid_is_an_error_and_the_next_check_is_made(process: SchemaProcess) -> None:
    with pytest.raises(ValueError, match="strin"):
        check(process, {"type": "strin"}, 1)
    assert process.check(NUMBER, "1", "input") == []


def test_the_time_of_earlier_checks_does_not_count(process: SchemaProcess) -> None:
    """Each of them takes much less than the second that a check may take; together they take three."""
    items, value = {"items": {"enum": [{"k": i} for i in range(10_000)]}}, [{"k": 9999}] * 60
    assert check(process, items, value) == []
    first = pid_of(process)
    while _processor_seconds(first) < 3:
        assert check(process, items, value) == []
        assert pid_of(process) == first


def test_a_process_that_the_kernel_ends_writes_no_core(process: SchemaProcess) -> None:
    """It would have up to 512 MiB."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    try:
        process.check(NUMBER, "1", "input")
        assert resource.prlimit(pid_of(process), resource.RLIMIT_CORE)[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_process_that_hangs_is_given_up() -> None:
    process = SchemaProcess(wall_seconds=0.2)
    process.check(NUMBER, "1", "input")
    os.kill(pid_of(process), signal.SIGSTOP)

    with pytest.raises(CheckUnavailableError, match="too little processor time"):
        process.check(NUMBER, "1", "input")


def test_a_process_that_cannot_be_started_is_an_error() -> None:
    process = SchemaProcess(command=("/no/such/python",))
    with pytest.raises(CheckUnavailableError, match="cannot start a process"):
        process.check(NUMBER, "1", "input")
