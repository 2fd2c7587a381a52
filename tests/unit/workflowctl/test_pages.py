"""Executions and workflows on a page, and in lists."""

from typing import Any

from google.protobuf import json_format
from workflow_sdk.connected_workers import ConnectedWorker
from workflow_sdk.models import QueueStats
from workflowctl.errors import CommandError, Problem
from workflowctl.presentation.details import execution_page, workflow_page
from workflowctl.presentation.error_text import error_lines
from workflowctl.presentation.tables import executions_table, queues_table, workflows_table
from workflowctl.presentation.task_pages import task_run_page
from workflowctl.presentation.worker_pages import worker_page, workers_table
from workflowsystem.catalog.v1 import workflow_pb2
from workflowsystem.execution.v1 import worker_pb2

from tests.unit.workflowctl.making import console, execution


def text_of(renderable: object) -> str:
    screen = console(width=140)
    screen.print(renderable)
    return "\n".join(line.rstrip() for line in screen.export_text().splitlines())


def run(task_id: str, status: str, **fields: object) -> dict[str, object]:
    return {"task_id": task_id, "status": f"TASK_STATUS_{status}", **fields}


def test_a_page_shows_tasks_and_of_a_fan_out_only_what_is_in_trouble() -> None:
    failure = {"type": "ValueError", "message": "bad syntax", "retry_state": "attempts exhausted"}
    items = [run("count", "SUCCEEDED", item=n) for n in range(200)]
    items[7] = run("count", "FAILED", item=7, attempt=4, failure=failure)

    page = text_of(
        execution_page(
            execution(
                status="EXECUTION_STATUS_FAILED",
                final=True,
                end_time="2030-01-01T12:00:09Z",
                failure=failure,
                task_counts={"total": 202, "succeeded": 200, "failed": 1},
                input={"root": "/usr"},
                tasks=[run("list", "SUCCEEDED", attempt=1, worker_id="w-1"), run("count", "RUNNING"), *items],
            ),
            console(),
        )
    )

    assert "✘ Failed" in page
    assert "code-census v2" in page
    assert "after 9.0 s" in page
    assert "ValueError: bad syntax" in page
    assert "attempts exhausted" in page
    assert "199 succeeded, 1 failed" in page
    assert "count[7]" in page
    assert "count[8]" not in page
    assert '"root": "/usr"' in page


def test_tasks_are_shown_in_the_order_in_which_they_began() -> None:
    def at(second: int) -> str:
        return f"2030-01-01T12:00:{second:02}Z"

    tasks = [
        run("a_last", "BLOCKED"),
        run("b_third", "SKIPPED", end_time=at(9)),
        run("c_second", "SUCCEEDED", attempt=1, start_time=at(5), end_time=at(6)),
        run("d_first", "SUCCEEDED", attempt=2, start_time=at(7), end_time=at(8)),  # its second attempt
    ]
    summaries = [{"task_id": "d_first", "start_time": at(1)}]
    page = text_of(execution_page(execution(tasks=tasks, task_summaries=summaries), console()))
    places = [page.index(name) for name in ("d_first", "c_second", "b_third", "a_last")]
    assert places == sorted(places)


def test_items_are_counted_by_the_summary_and_those_that_were_retried_have_a_row() -> None:
    items = [run("count", "SUCCEEDED", item=n, attempt=3 if n == 7 else 1) for n in range(20)]
    counts = {"total": 5_000, "succeeded": 4_990, "ready": 10}
    summary = {"task_id": "count", "status": "TASK_STATUS_RUNNING", "item_counts": counts}
    late = {"task_id": "zip", "status": "TASK_STATUS_READY"}  # the answer has no room for its task run

    page = text_of(
        execution_page(
            execution(tasks=[run("count", "RUNNING"), *items], task_summaries=[summary, late]), console()
        )
    )

    assert "4,990 succeeded, 10 ready" in page
    assert "count[7]" in page
    assert "count[8]" not in page
    assert "zip" in page


def test_a_failure_says_where_the_handler_failed_and_why_no_attempt_followed() -> None:
    where = 'Traceback:\n  File "shop.py", line 7, in load\n    \x1b[31mboom'
    failure = {"type": "KeyError", "message": "'count'", "details": where, "attempt": 4}
    failure["retry_state"] = "attempts exhausted"
    page = text_of(execution_page(execution(status="EXECUTION_STATUS_FAILED", failure=failure), console()))

    assert 'File "shop.py", line 7, in load' in page
    assert "not retried" in page
    assert "all 4 attempts are used" in page


def test_the_page_of_a_task_run_has_its_attempts_payloads_and_waiting_time() -> None:
    failure = {"type": "Boom", "message": "it broke", "details": 'File "shop.py", line 7'}
    attempt = {"attempt": 1, "status": "ATTEMPT_STATUS_TIMED_OUT", "worker_id": "w-1", "failure": failure}
    times = {"ready_time": "2030-01-01T12:00:00Z", "start_time": "2030-01-01T12:00:01.200Z"}
    fields = {"attempts": [attempt], "input": {"n": 1}, "output": "fine", "failure": failure}
    (found,) = execution(tasks=[run("load", "SUCCEEDED", item=3, attempt=2, **fields, **times)]).tasks
    page = text_of(task_run_page("01890a5d", found, console()))
    for shown in ("load[3]", "1.2 s", "timed out", "w-1", '"n": 1', '"fine"', "Boom: it broke", "line 7"):
        assert shown in page


def test_a_large_payload_is_cut_with_the_way_to_all_of_it() -> None:
    page = text_of(execution_page(execution(output={"x": "y" * 10_000}), console()))

    assert "-o json shows them" in page
    assert len(page) < 8_000


QUARANTINE = {"reason": "no definition", "tries": 5, "quarantine_time": "2030-01-01T12:00:09Z"}


def test_a_page_shows_why_an_execution_is_quarantined_and_what_to_do() -> None:
    quarantined = execution(quarantine=QUARANTINE)
    page = text_of(execution_page(quarantined, console()))
    assert "● Running  quarantined" in page
    assert "after 5 tries" in page
    assert "no definition" in page
    for command in ("release", "cancel"):
        assert f"workflowctl {command} {quarantined.execution_id}" in page
    assert "● Running quarantined" in text_of(executions_table([quarantined], console()))

    cancelling = execution(quarantine=QUARANTINE, cancel_requested=True)

    assert "wait for Cancelled" in text_of(execution_page(cancelling, console()))
    assert "quarantined" not in text_of(execution_page(execution(), console()))


def test_a_workflow_page_shows_its_draft() -> None:
    workflow = json_format.ParseDict(
        {
            "workflow_id": "orders",
            "status": "WORKFLOW_STATUS_ACTIVE",
            "active_version": 3,
            "draft_changed": True,
            "definition": {
                "description": "Charges [and] ships.",
                "tasks": [{"id": "a", "type": "orders.a"}, {"id": "b", "type": "noop", "needs": ["a"]}],
            },
        },
        workflow_pb2.Workflow(),
    )

    page = text_of(workflow_page(workflow, console()))

    assert "orders  Active" in page
    assert "differs from the active version" in page
    assert "Charges [and] ships." in page
    assert "orders.a" in page
    assert "changed" in text_of(workflows_table([workflow]))


def test_lists_have_a_row_each() -> None:
    rows = text_of(executions_table([execution(task_counts={"total": 5, "succeeded": 2})], console()))
    assert "01890a5d-ac96-774b-bcce-b302099a8057  code-census v2  ● Running  2/5" in rows
    queues = text_of(queues_table([QueueStats("default", 12_345, 61.0), QueueStats("gpu", 0, None)]))

    assert "default  12,345" in queues
    assert "1 min 1 s" in queues


def worker(**fields: Any) -> ConnectedWorker:
    """A worker of now, with other fields as given."""
    given: dict[str, Any] = {
        "worker_id": "pod-7",
        "protocol": worker_pb2.WORKER_PROTOCOL_SESSION,
        "task_types": ["orders.charge"],
        "queues": ["default"],
        "slots": 4,
        "busy_slots": 0,
        "replica": "host/3fa4b1c2",
    }
    message = worker_pb2.ConnectedWorker(**(given | fields))
    message.last_message_time.GetCurrentTime()
    return ConnectedWorker.from_message(message)


def held(number: int, **fields: Any) -> worker_pb2.HeldTask:
    return worker_pb2.HeldTask(execution_id=f"execution-{number}", task_id="charge", **fields)


def test_workers_have_a_row_each_with_what_they_run() -> None:
    tasks = [held(1, workflow_id="orders", item=3), held(2)]
    table = text_of(
        workers_table(
            [
                worker(busy_slots=3, tasks=tasks, draining=True),
                worker(worker_id="unary", busy_slots=None, task_types=[f"type{n}" for n in range(20)]),
                worker(worker_id="elsewhere", busy_slots=1, tasks=[held(4)]),
            ]
        )
    )

    rows = {line.split()[0]: " ".join(line.split()) for line in table.splitlines()}

    assert rows["pod-7"].startswith("pod-7 draining 3/4 orders/charge[3] +2 ")
    assert rows["pod-7"].endswith("ago orders.charge default host/3fa4b1c2")
    assert rows["unary"].startswith("unary ?/4 ")
    assert "type0 type1 type2 +17" in rows["unary"]
    assert rows["elsewhere"].startswith("elsewhere 1/4 ?/charge ")


def test_a_narrow_terminal_keeps_the_name_and_what_a_worker_does() -> None:
    types = [f"shop.orders.a-handler-with-a-long-name-{number}" for number in range(30)]
    task = held(1, workflow_id="orders")
    table = workers_table([worker(worker_id="w" * 30, task_types=types, busy_slots=1, tasks=[task])])
    narrow = console(width=90)
    narrow.print(table)
    row = narrow.export_text().splitlines()[1]

    assert row.startswith("w" * 30 + "  1/4    orders/charge  ")
    assert "ago" in row


def test_the_page_of_a_worker_has_every_task_in_its_hands() -> None:
    tasks = [held(number, workflow_id="orders", attempt=2) for number in range(3)]
    page = text_of(
        worker_page(worker(busy_slots=5, credits=1, tasks=tasks, labels={"zone": "b"}, sdk="go/1.2"))
    )
    for text in ("5/4 slots, asks for 1 more", "zone=b", "go/1.2", "execution-2", "and 2 more"):
        assert text in page


def test_an_error_is_what_where_and_what_next() -> None:
    error = CommandError(
        "w.yaml has 2 problems",
        problems=[Problem("w.yaml:3:5", "a: x"), Problem("w.yaml:12:5", "b: y")],
        next_step="correct it",
    )
    assert [line.plain for line in error_lines(error)] == [
        "error: w.yaml has 2 problems",
        "  w.yaml:3:5   a: x",
        "  w.yaml:12:5  b: y",
        "next: correct it",
    ]


def test_a_problem_that_the_message_names_is_not_printed_twice() -> None:
    message = "execution_id: value must be a valid UUID; correct it and send it again"
    error = CommandError(message, problems=[Problem("execution_id", "value must be a valid UUID")])

    assert len(list(error_lines(error))) == 1
