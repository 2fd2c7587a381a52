"""A workflow's file against the contract."""

from collections.abc import Callable
from pathlib import Path

import pytest
from workflowctl.definition_file import load
from workflowctl.errors import CommandError, Problem

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "orders.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


GOOD = """\
workflow_id: orders
description: Charges and ships.
labels: {team: shop}
execution_timeout: 1h30m
input_schema: {type: object, properties: {amount: {type: number}}}
tasks:
  - id: charge
    type: orders.charge
    input: {amount: "${input.amount}", at: 12:30}
    timeouts: {start_to_close: 90s}
    retry_policy: {maximum_attempts: 3, jitter: 0.5, initial_interval: 500ms}
  - id: ship
    type: orders.ship
    needs: [charge]
    for_each: {items: [1, 2], max_parallel: 1}
output: ${tasks.ship.output}
"""


def test_a_file_becomes_a_definition_with_durations_as_people_write_them(write: Write) -> None:
    file = load(write(GOOD))
    assert file.workflow_id == "orders"
    definition = file.definition

    assert definition.execution_timeout.seconds == 5_400
    assert definition.tasks[0].timeouts.start_to_close.seconds == 90
    assert definition.tasks[0].retry_policy.initial_interval.nanos == 500_000_000
    assert definition.tasks[0].input.struct_value["at"] == "12:30"
    assert definition.tasks[1].needs == ["charge"]
    assert definition.labels == {"team": "shop"}
    assert definition.output.string_value == "${tasks.ship.output}"


def test_json_and_the_contracts_own_names_work_too(write: Write) -> None:
    text = '{"workflowId": "orders", "executionTimeout": "60s", "tasks": [{"id": "a", "type": "noop"}]}'
    file = load(write(text, "orders.json"))

    assert (file.workflow_id, file.definition.execution_timeout.seconds) == ("orders", 60)


def test_an_id_on_the_command_line_wins(write: Write) -> None:
    assert load(write(GOOD), "other").workflow_id == "other"


def test_without_an_id_the_next_step_is_told(write: Write) -> None:
    with pytest.raises(CommandError) as caught:
        load(write("tasks: []"))
    assert "--id" in caught.value.next_step


@pytest.mark.parametrize(
    ("line", "place", "text"),
    [
        ("  retries: 3", "3:3", "tasks[0].retries: there is no such field; did you mean `retry_policy`?"),
        ("  dependsOn: []", "3:3", "did you mean `needs`?"),
        ("  retry: {}", "3:3", "tasks[0].retry: there is no such field; did you mean `retry_policy`?"),
        ("  needs: b", "3:3", "tasks[0].needs: text where a list belongs"),
        ("  id2: x", "3:3", "did you mean `id`?"),
        ("  timeouts: {heartbeat: 5}", "3:14", "tasks[0].timeouts.heartbeat: 5 has no unit"),
        ("  timeouts: soon", "3:3", "text where an object belongs"),
        ("  retry_policy: {maximum_attempts: many}", "3:18", "text where a whole number belongs"),
        ("  retry_policy: {maximum_attempts: 1.5}", "3:18", "a number where a whole number belongs"),
        ("  type: [noop]", "3:3", "tasks[0].type: a list where text belongs"),
        ("  input: {a: .nan}", "3:3", "tasks[0].input.a is NaN"),
        ('  input: {a: "\\0"}', "3:3", "tasks[0].input.a contains a NUL character"),
        ("  needs: [1]", "3:11", "tasks[0].needs[0]: a number where text belongs"),
    ],
)
def test_what_the_contract_does_not_know_is_named_with_its_place(
    write: Write, line: str, place: str, text: str
) -> None:
    path = write(f"workflow_id: orders\ntasks:\n- {line.strip()}\n")
    with pytest.raises(CommandError) as caught:
        load(path)
    (problem,) = caught.value.problems

    assert problem.place == f"{path}:{place}"
    assert text in problem.text


def test_all_problems_come_at_once(write: Write) -> None:
    with pytest.raises(CommandError) as caught:
        load(write("workflow_id: w\nsteps: []\ntasks: [{id: 1}, 2]\n"))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("text", ["", "- a", "just text", "3"])
def test_a_file_that_is_no_object_is_refused(write: Write, text: str) -> None:
    with pytest.raises(CommandError, match="is not a workflow"):
        load(write(text))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(CommandError, match=r"nowhere\.yaml cannot be read: No such file"):
        load("nowhere.yaml")


def test_what_the_service_refuses_is_found_in_the_file(write: Write) -> None:
    path = write(GOOD)

    located = load(path).locate(
        [
            Problem("definition.tasks[1].needs[0]", "names no task"),
            Problem("", "something about all of it"),
            Problem("tasks[0].id", "is taken"),
        ]
    )

    assert located == [
        Problem(f"{path}:1:1", "something about all of it"),
        Problem(f"{path}:7:5", "tasks[0].id: is taken"),
        Problem(f"{path}:14:13", "tasks[1].needs[0]: names no task"),
    ]
