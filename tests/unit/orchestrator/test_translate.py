"""The domain's records as messages, and payloads between Struct and JSON."""

import json
import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
import pytest
from execution_orchestrator.application.ports.queue import QueueStats
from execution_orchestrator.application.ports.reads import ExecutionDetails
from execution_orchestrator.application.ports.task_runs import AttemptDetails, TaskDetails, TaskSummary
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.execution import Execution, Pause, Quarantine
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.state_machine import AttemptStatus, ExecutionStatus, TaskStatus
from execution_orchestrator.domain.task import TaskKey, TaskRun
from execution_orchestrator.entrypoints import full_view, translate
from execution_orchestrator.entrypoints.full_view import details_message
from execution_orchestrator.entrypoints.struct_json import payload_text, struct_message, value_message
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st
from service_kit.data.consistency import EVENTUAL, STRONG, LogPosition, ReadConsistency, encode
from service_kit.errors import ServiceError
from workflow_contract.limits import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import may_be_rounded
from workflowsystem.execution.v1 import event_pb2, execution_pb2
from workflowsystem.type.v1 import read_consistency_pb2

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ID = UUID(int=7)

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False).map(
    lambda number: number * 1e10 if may_be_rounded(number) else number
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def struct_of(value: dict[str, Any]) -> Struct:
    return json_format.ParseDict(value, Struct())


def nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind == "object" else [value]
    return value


# -- payloads -------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_payload_becomes_the_json_that_its_author_wrote(value: dict[str, Any]) -> None:
    assert json.loads(payload_text(struct_of(value), "input")) == value


@given(json_values)
def test_stored_json_becomes_the_value_that_protobuf_itself_would_make(value: Any) -> None:
    assert value_message(json.dumps(value)) == json_format.ParseDict(value, Value())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3.0, "3"),
        (-0.0, "0"),
        (2.5, "2.5"),
        (2.0**53, "9007199254740992"),
        (-1e21, "-1e+21"),
    ],
)
def test_whole_numbers_become_integers_as_far_as_a_double_has_them_all(number: float, text: str) -> None:
    assert payload_text(struct_of({"n": number}), "input") == f'{{"n":{text}}}'


def test_an_integer_that_a_double_would_change_is_shown_as_a_string() -> None:
    assert json_format.MessageToDict(value_message("[9007199254740993, -9007199254740993, 1e999]")) == [
        "9007199254740993",
        "-9007199254740993",
        "inf",
    ]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused_by_its_path(number: float) -> None:
    struct = Struct()
    struct.fields["a"].list_value.values.add()
    struct.fields["a"].list_value.values.add().struct_value.fields["b"].number_value = number

    with pytest.raises(ServiceError) as raised:
        payload_text(struct, "input")
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
    assert raised.value.violations[0].field == "input.a[1].b"


def test_a_payload_over_a_mebibyte_is_refused_with_its_size() -> None:
    room = MAX_PAYLOAD_BYTES - len('{"a":""}')

    assert len(payload_text(struct_of({"a": "x" * room}), "input")) == MAX_PAYLOAD_BYTES
    with pytest.raises(ServiceError) as raised:
        payload_text(struct_of({"a": "x" * (room - 1) + "é"}), "input")
    assert raised.value.reason == "PAYLOAD_TOO_LARGE"
    assert raised.value.metadata["size_bytes"] == str(MAX_PAYLOAD_BYTES + 1)
    assert raised.value.metadata["limit_bytes"] == str(MAX_PAYLOAD_BYTES)


@pytest.mark.parametrize("kind", ["object", "list"])
def test_a_payload_nested_too_deeply_is_refused_by_its_path(kind: str) -> None:
    deepest = {"a": nested(MAX_PAYLOAD_DEPTH - 1, kind)}
    assert json.loads(payload_text(struct_of(deepest), "input")) == deepest
    struct = Struct()
    value = struct.fields["a"]
    for _ in range(MAX_PAYLOAD_DEPTH):
        value = value.struct_value.fields["a"] if kind == "object" else value.list_value.values.add()

    value.struct_value.SetInParent()

    with pytest.raises(ServiceError) as raised:
        payload_text(struct, "input")
    assert raised.value.reason == "PAYLOAD_INVALID"
    assert raised.value.violations[0].field.startswith("input.a.a" if kind == "object" else "input.a[0]")


def test_a_value_that_is_too_deep_for_the_wire_is_left_out() -> None:
    assert value_message(json.dumps(nested(MAX_PAYLOAD_DEPTH, "object"))) is not None
    assert value_message(json.dumps([nested(MAX_PAYLOAD_DEPTH, "object")])) is None
    run = TaskRun(TaskKey("pages"), "noop", "default", TaskStatus.SUCCEEDED)
    run.input = run.output = json.dumps(nested(MAX_PAYLOAD_DEPTH, "object"))
    message = details_message(ExecutionDetails(execution(), None, [TaskDetails(run, None, [])]))

    assert execution_pb2.Execution.FromString(message.SerializeToString()) == message


def test_only_an_object_is_a_struct() -> None:
    assert struct_message('{"a": {}, "b": []}') == struct_of({"a": {}, "b": []})
    assert struct_message("{}") == Struct()
    assert struct_message("[1]") is None


# -- records --------------------------------------------------------------------------------------


def execution(**changes: Any) -> Execution:
    return Execution(
        ID, "team-a", "orders", 3, {"team": "a"}, NOW, **{"status": ExecutionStatus.RUNNING, **changes}
    )


def test_every_status_and_event_type_has_its_word_in_the_contract() -> None:
    for status in ExecutionStatus:
        message = translate.execution_message(execution(status=status))
        assert execution_pb2.ExecutionStatus.Name(message.status) == f"EXECUTION_STATUS_{status}"
        assert translate.status_of(message.status) is status
    for type_ in EventType:
        event = Event(1, type_, ExecutionStatus.RUNNING, NOW, (0, 0, 0, 0, 0, 0))
        name = event_pb2.ExecutionEventType.Name(translate.event_message("default", ID, event).type)
        assert name == f"EXECUTION_EVENT_TYPE_{type_}"
    tasks = [TaskDetails(TaskRun(TaskKey("t"), "noop", "q", status), None, []) for status in TaskStatus]

    shown = details_message(ExecutionDetails(execution(), None, tasks)).tasks

    assert [execution_pb2.TaskStatus.Name(task.status) for task in shown] == [
        f"TASK_STATUS_{status}" for status in TaskStatus
    ]
    assert {*AttemptStatus, "LEASED", "RUNNING"} < {*full_view._ATTEMPT_STATUS}


def test_an_execution_has_all_its_fields() -> None:
    failure = Failure("ValueError", "no", task_id="pay", item=0, attempt=2, retry_state="attempts exhausted")
    record = execution(
        status=ExecutionStatus.FAILED,
        state_version=5,
        last_sequence=9,
        run_number=2,
        final=True,
        output='{"n": 1}',
        failure=failure,
        pause=Pause(NOW, reason="lunch", actor="ann", quiesced_time=NOW),
        cancel_requested=True,
        cancel_deadline=NOW,
        cancel_reason="enough",
        start_time=NOW,
        end_time=NOW,
        timeout_time=NOW,
        tasks_total=6,
        tasks_running=1,
        tasks_succeeded=2,
        tasks_failed=3,
        tasks_cancelled=4,
        tasks_skipped=5,
        quarantine=Quarantine(NOW, "no definition", 5),
    )
    message = translate.execution_message(record, consistency_token="0/1")
    quarantine = message.quarantine
    assert (quarantine.reason, quarantine.tries, quarantine.quarantine_time.ToDatetime(UTC)) == (
        "no definition",
        5,
        NOW,
    )
    missing = {field.name for field in message.DESCRIPTOR.fields} - {
        field.name for field, _ in message.ListFields()
    }
    assert missing == {"input", "tasks", "task_summaries"}
    assert (message.execution_id, message.labels["team"], message.version) == (str(ID), "a", 3)
    assert message.create_time.ToDatetime(UTC) == NOW
    assert message.failure.HasField("item")
    counts = message.task_counts

    assert (counts.total, counts.running, counts.succeeded) == (6, 1, 2)
    assert (counts.failed, counts.cancelled, counts.skipped) == (3, 4, 5)


def test_fields_without_a_value_are_not_set() -> None:
    message = translate.execution_message(execution())
    unset = (
        "output",
        "failure",
        "pause",
        "cancel_deadline",
        "start_time",
        "end_time",
        "timeout_time",
        "input",
    )
    assert not any(message.HasField(name) for name in unset)
    event = Event(1, EventType.EXECUTION_STARTED, ExecutionStatus.RUNNING, NOW, (0, 0, 0, 0, 0, 0))

    shown = translate.event_message("default", ID, event)

    assert not any(shown.HasField(name) for name in ("item", "failure", "next_attempt_time"))
    assert not shown.final


def test_a_failure_that_is_not_decided_yet_is_not_shown() -> None:
    paused = execution(status=ExecutionStatus.PAUSED, failure=Failure("ValueError", "no"))
    assert not translate.execution_message(paused).HasField("failure")


def test_an_event_has_all_its_fields() -> None:
    event = Event(
        4,
        EventType.EXECUTION_FAILED,
        ExecutionStatus.FAILED,
        NOW,
        (1, 0, 0, 1, 0, 0),
        "pay",
        0,
        2,
        "worker-1",
        Failure("ValueError", "no"),
        NOW,
        "because",
        item_count=3,
        run_number=2,
    )

    message = translate.event_message("team-a", ID, event)

    assert len(message.ListFields()) == len(message.DESCRIPTOR.fields)
    assert (message.item, message.final, message.reason) == (0, True, "because")


def test_a_task_has_all_its_fields() -> None:
    run = TaskRun(TaskKey("pages", 0), "noop", "default", TaskStatus.BACKING_OFF, attempt=2, epoch=3)
    run.worker_id, run.wake_time, run.start_time, run.end_time = "worker-1", NOW, NOW, NOW
    run.input, run.output, run.failure = "null", "0", Failure("ValueError", "no")
    run.last_ready_time, run.run_number = NOW, 2
    attempt = AttemptDetails(1, "LOST", "worker-1", NOW, NOW, Failure("WorkerLost", "gone"), 2)
    details = ExecutionDetails(execution(), '{"a": 1}', [TaskDetails(run, '"half"', [attempt], True)])
    message = details_message(details)
    (task,) = message.tasks
    assert len(task.ListFields()) == len(task.DESCRIPTOR.fields)
    assert len(task.attempts[0].ListFields()) == len(task.attempts[0].DESCRIPTOR.fields)
    assert (message.input["a"], task.progress.string_value) == (1, "half")
    run.status = TaskStatus.RUNNING

    (task,) = details_message(details).tasks

    assert not task.HasField("next_attempt_time")


def test_a_task_summary_has_all_its_fields() -> None:
    items = dict.fromkeys(TaskStatus, 2)
    summary = TaskSummary("pages", "noop", TaskStatus.SUCCEEDED, items, 20, 1, NOW, NOW)
    (message,) = details_message(ExecutionDetails(execution(), summaries=[summary])).task_summaries
    assert len(message.ListFields()) == len(message.DESCRIPTOR.fields)
    filled = {field.name for field, _ in message.item_counts.ListFields()}

    assert filled == {*message.item_counts.DESCRIPTOR.fields_by_name} - {"waiting"}  # no item can wait yet
    assert (message.item_counts.total, message.item_counts.backing_off) == (16, 2)


def test_a_queue_without_jobs_has_no_age() -> None:
    assert (
        translate.queue_message(QueueStats("default", 2, 1.5)).oldest_age.ToTimedelta().total_seconds() == 1.5
    )
    assert not translate.queue_message(QueueStats("default", 0, None)).HasField("oldest_age")


def test_unset_consistency_is_eventual() -> None:
    message = read_consistency_pb2.ReadConsistency
    assert translate.consistency_of(message()) == EVENTUAL
    assert translate.consistency_of(message(level=message.LEVEL_EVENTUAL)) == EVENTUAL
    assert translate.consistency_of(message(level=message.LEVEL_STRONG)) == STRONG

    position = LogPosition(system=1, timeline=2, lsn=3)

    assert translate.consistency_of(message(consistency_token=encode(position))) == ReadConsistency(
        position=position
    )
    with pytest.raises(ServiceError, match="consistency token"):
        translate.consistency_of(message(consistency_token="x"))
