"""Workflows and reports of the catalog in plain Python."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from workflow_sdk import (
    AttemptStatus,
    ExecutionStatus,
    TaskStatus,
    ValidationReport,
    WorkflowInfo,
    WorkflowStatus,
    WorkflowVersion,
)
from workflow_sdk.statuses import ChangeClass, ChangeKind, ProblemSeverity, Word
from workflowsystem.catalog.v1 import definition_pb2, report_pb2, workflow_pb2
from workflowsystem.execution.v1 import execution_pb2

DEFINITION = definition_pb2.WorkflowDefinition(owner="payments")
REPORT = report_pb2.ValidationReport(
    valid=True,
    content_hash="abc",
    problems=[
        report_pb2.Problem(
            field="tasks[0].when",
            description="is always true",
            severity=report_pb2.PROBLEM_SEVERITY_WARNING,
            suggestion="has(input.x)",
        )
    ],
    difference=report_pb2.WorkflowDifference(
        base_version=2,
        change_class=report_pb2.CHANGE_CLASS_MAJOR,
        changes=[
            report_pb2.Change(
                path="input_schema.required",
                before={"null_value": 0},
                after={"list_value": {"values": [{"string_value": "sku"}]}},
                kind=report_pb2.CHANGE_KIND_CHANGED,
                change_class=report_pb2.CHANGE_CLASS_MAJOR,
                reason="an input without sku is refused",
            )
        ],
    ),
)


def test_a_workflow_has_its_status_as_a_word_and_its_times_in_utc() -> None:
    message = workflow_pb2.Workflow(
        namespace="shop",
        workflow_id="orders",
        status=workflow_pb2.WORKFLOW_STATUS_ACTIVE,
        definition=DEFINITION,
        etag="e1",
        active_version=3,
        draft_changed=True,
        create_time=Timestamp(seconds=1_900_000_000),
    )

    workflow = WorkflowInfo.from_message(message)

    assert (workflow.namespace, workflow.workflow_id, workflow.etag) == ("shop", "orders", "e1")
    assert workflow.status is WorkflowStatus.ACTIVE
    assert workflow.status == "Active"
    assert (workflow.active_version, workflow.draft_changed) == (3, True)
    assert workflow.create_time == datetime.fromtimestamp(1_900_000_000, UTC)
    assert (workflow.update_time, workflow.report) == (None, None)
    assert workflow.definition == DEFINITION
    assert workflow.message is message


def test_an_answer_can_not_be_changed() -> None:
    workflow = WorkflowInfo.from_message(workflow_pb2.Workflow())

    with pytest.raises(FrozenInstanceError):
        workflow.etag = "*"  # type: ignore[misc]


def test_a_version_has_its_definition_and_its_hash() -> None:
    message = workflow_pb2.WorkflowVersion(
        workflow_id="orders", version=2, definition=DEFINITION, content_hash="abc"
    )

    version = WorkflowVersion.from_message(message)

    assert (version.workflow_id, version.version, version.content_hash) == ("orders", 2, "abc")
    assert version.definition == DEFINITION
    assert version.publish_time is None


def test_a_report_says_in_words_what_is_wrong_and_what_differs() -> None:
    report = WorkflowInfo.from_message(workflow_pb2.Workflow(report=REPORT)).report

    assert report is not None
    assert (report.valid, report.content_hash) == (True, "abc")
    (problem,) = report.problems
    assert (problem.field, problem.severity, problem.suggestion) == (
        "tasks[0].when",
        "WARNING",
        "has(input.x)",
    )
    assert report.difference is not None
    assert (report.difference.base_version, report.difference.change_class) == (2, "MAJOR")
    (change,) = report.difference.changes
    assert (change.kind, change.before, change.after) == ("CHANGED", None, ["sku"])
    assert change.reason == "an input without sku is refused"


def test_a_report_without_a_version_to_compare_with_has_no_difference() -> None:
    assert ValidationReport.from_message(report_pb2.ValidationReport(valid=True)).difference is None


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        (WorkflowStatus, workflow_pb2.WorkflowStatus),
        (ExecutionStatus, execution_pb2.ExecutionStatus),
        (TaskStatus, execution_pb2.TaskStatus),
        (AttemptStatus, execution_pb2.AttemptStatus),
        (ProblemSeverity, report_pb2.ProblemSeverity),
        (ChangeClass, report_pb2.ChangeClass),
        (ChangeKind, report_pb2.ChangeKind),
    ],
)
def test_every_value_of_the_contract_has_its_word(words: type[Word], enum: type) -> None:
    numbers = [number for number in enum.values() if number]

    assert [words.of(number).number for number in numbers] == numbers
    assert len(words) == len(numbers) + 1
    assert words.of(99) is words["UNKNOWN"]


def test_unknown_can_not_be_sent() -> None:
    with pytest.raises(ValueError, match="UNKNOWN"):
        _ = WorkflowStatus.UNKNOWN.number
