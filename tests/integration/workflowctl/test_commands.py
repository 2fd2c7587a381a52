"""Every command as a process: what it prints, where, and its exit code."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from testkit import free_port
from workflowsystem.execution.v1 import execution_pb2

from tests.fakes.gateway import EXECUTION_ID, FakeGateway
from tests.integration.workflowctl.conftest import Run, Start, write

GENEROUS_SECONDS = 60.0
"""For a process on a busy machine."""

WORKFLOW = """\
workflow_id: orders
description: first
tasks:
  - id: charge
    type: noop
    timeouts: {start_to_close: 1m30s}
"""


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(WORKFLOW)
    return path


async def test_apply_creates_then_says_unchanged_then_tells_what_differs(ctl: Run, orders: Path) -> None:
    created = await ctl("apply", str(orders))
    assert (created.code, created.err) == (0, "")
    assert created.out == "✔ orders  Draft  draft created, 1 task\n"
    assert "draft unchanged" in (await ctl("apply", str(orders))).out
    await ctl("publish", "orders")
    write(orders, WORKFLOW.replace("first", "second"))
    assert (await ctl("apply", str(orders))).out == (
        "✔ orders  Active  draft updated\n"
        "orders  version 1 → draft  PATCH, 1 change: the same work\n"
        "  ~ description  first → second\n"
    )


async def test_apply_reads_standard_input_with_an_id(ctl: Run, fake: FakeGateway) -> None:
    ran = await ctl("apply", "-", "--id", "other", stdin="tasks: [{id: a, type: noop}]")
    assert ran.code == 0
    assert fake.catalog.workflows["other"].definition.tasks[0].type == "noop"


async def test_publish_of_a_file_applies_it_first(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    ran = await ctl("publish", str(orders))
    assert ran.code == 0
    assert "✔ orders  Active  active version 1" in ran.out
    assert fake.catalog.workflows["orders"].active_version == 1


async def test_publish_of_an_id_publishes_its_draft_as_json(ctl: Run, orders: Path) -> None:
    await ctl("apply", str(orders))
    ran = await ctl("publish", "orders", "-o", "json")
    document = json.loads(ran.out)
    assert (document["status"], document["active_version"]) == ("WORKFLOW_STATUS_ACTIVE", 1)


async def test_what_the_catalog_refuses_is_named_by_line_and_column(ctl: Run, orders: Path) -> None:
    write(orders, WORKFLOW.replace("noop", "bad"))
    ran = await ctl("publish", str(orders))
    assert ran.code == 4
    assert f"{orders}:5:5  tasks[0].type: no worker ever offered `bad`" in ran.err
    assert "next: correct the file" in ran.err


async def test_a_broken_file_sends_nothing(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    write(orders, "workflow_id: orders\ntasks:\n  - id: a\n   x: 1\n")
    ran = await ctl("apply", str(orders))
    assert (ran.code, ran.out) == (2, "")
    assert f"{orders}:4:4  the indentation does not fit the lines above" in ran.err
    assert fake.catalog.workflows == {}


async def test_deactivate_says_the_new_status(ctl: Run, orders: Path) -> None:
    await ctl("publish", str(orders))
    assert "✔ orders  Inactive" in (await ctl("deactivate", "orders")).out


async def test_start_prints_the_id_first_and_passes_everything_on(ctl: Run, fake: FakeGateway) -> None:
    ran = await ctl(
        "start", "orders", "--input", '{"amount": 3, "at": "x"}', "--label", "team=shop", "--request-id", "r1"
    )
    assert ran.out.split()[0] == EXECUTION_ID
    (request,) = fake.executions.requests
    assert (request.workflow_id, request.request_id, dict(request.labels)) == (
        "orders",
        "r1",
        {"team": "shop"},
    )
    assert request.input["amount"] == 3


async def test_start_takes_its_input_from_a_file(ctl: Run, fake: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"a": [1, 2]}')
    ran = await ctl("start", "orders", "--input", f"@{tmp_path}/input.json")
    assert ran.code == 0
    assert list(fake.executions.requests[0].input["a"]) == [1, 2]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "1:2"),
        ("[1]", "must be a JSON object, but is a list"),
        ("@nowhere.json", "No such file"),
        ('{"a": "\\u0000"}', "NUL"),
    ],
)
async def test_an_input_that_is_none_is_refused_here(
    ctl: Run, fake: FakeGateway, given: str, told: str
) -> None:
    ran = await ctl("start", "orders", "--input", given)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err
    assert fake.executions.requests == []


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 6)])
async def test_the_exit_code_of_a_watch_tells_how_it_ended(
    ctl: Run, fake: FakeGateway, status: str, code: int
) -> None:
    fake.watches.status = execution_pb2.ExecutionStatus.Value(f"EXECUTION_STATUS_{status}")
    ran = await ctl("start", "orders", "--watch")
    assert ran.code == code
    marks = [line.split()[1] for line in ran.out.splitlines()[1:4]]
    assert marks[:2] == ["○", "▶"]
    assert status.capitalize() in ran.out.splitlines()[-1]


async def test_a_start_that_is_watched_shows_what_came_before_the_watch(ctl: Run) -> None:
    lines = (await ctl("start", "orders", "--watch")).out.splitlines()
    assert ["accepted" in lines[1], "charge" in lines[2], "Completed" in lines[3]] == [True, True, True]


async def test_ctrl_c_ends_a_watch_and_not_the_execution(ctl_process: Start, fake: FakeGateway) -> None:
    fake.watches.endless = True
    process = await ctl_process("watch", EXECUTION_ID)
    assert process.stdout is not None
    while b"charge" not in await asyncio.wait_for(process.stdout.readline(), GENEROUS_SECONDS):
        pass
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), GENEROUS_SECONDS)
    assert process.returncode == 130
    assert b"Traceback" not in out + err
    assert fake.executions.requests == []


async def test_a_watch_for_scripts_is_a_json_document_a_line(ctl: Run) -> None:
    ran = await ctl("watch", EXECUTION_ID, "-o", "json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [next(iter(line)) for line in lines] == ["snapshot", "event", "event", "execution"]
    assert [line["resume_token"] for line in lines] == ["t1", "t2", "t3", "t3"]
    assert lines[2]["event"]["status"] == "EXECUTION_STATUS_COMPLETED"
    assert lines[1]["event"]["final"] is False


async def test_get_knows_an_execution_from_a_workflow_by_its_id(ctl: Run, orders: Path) -> None:
    await ctl("apply", str(orders))
    assert "○ Pending" in (await ctl("get", EXECUTION_ID)).out
    assert "charge" in (await ctl("get", "orders")).out
    assert "charge" in (await ctl("get", "workflow", "orders")).out
    assert json.loads((await ctl("get", EXECUTION_ID, "-o", "json")).out)["execution_id"] == EXECUTION_ID


@pytest.fixture
def items(fake: FakeGateway) -> list[execution_pb2.TaskRun]:
    """A fan-out of three items: the second one failed at its fourth attempt."""
    statuses = [execution_pb2.TASK_STATUS_SUCCEEDED] * 3
    statuses[1] = execution_pb2.TASK_STATUS_FAILED
    for item, status in enumerate(statuses):
        fake.executions.task_runs.append(
            execution_pb2.TaskRun(task_id="load", item=item, status=status, attempt=4 if item == 1 else 1)
        )
    failure = fake.executions.task_runs[1].failure
    failure.type, failure.message, failure.details = "KeyError", "'count'", 'File "shop.py", line 7'
    fake.executions.task_runs[1].input.string_value = "page 1"
    return fake.executions.task_runs


async def test_tasks_lists_task_runs_with_a_status_or_more_attempts(
    ctl: Run, fake: FakeGateway, items: list[execution_pb2.TaskRun]
) -> None:
    everything = (await ctl("tasks", EXECUTION_ID)).out.splitlines()
    assert [line.split()[0] for line in everything[1:]] == ["load[0]", "load[1]", "load[2]"]
    failed = await ctl("tasks", EXECUTION_ID, "--status", "failed")
    assert "load[1]" in failed.out
    assert "KeyError: 'count'" in failed.out
    assert "load[0]" not in failed.out
    retried = await ctl("tasks", EXECUTION_ID, "--retried", "--task", "load", "-o", "json")
    (run,) = json.loads(retried.out)["task_runs"]
    assert (run["item"], run["status"], run["input"]) == (1, "TASK_STATUS_FAILED", "page 1")
    assert fake.executions.requests[-1].task_id == "load"
    assert (await ctl("tasks", EXECUTION_ID, "--status", "lost")).code == 2


async def test_get_shows_one_item_with_its_input_and_where_it_failed(
    ctl: Run, items: list[execution_pb2.TaskRun]
) -> None:
    shown = await ctl("get", EXECUTION_ID, "--task", "load", "--item", "1")
    assert shown.code == 0
    for text in ("load[1]", "✘ failed", "page 1", 'File "shop.py", line 7'):
        assert text in shown.out
    document = json.loads((await ctl("get", EXECUTION_ID, "--task", "load", "--item", "1", "--json")).out)
    assert document["tasks"][0]["failure"]["type"] == "KeyError"
    missing = await ctl("get", EXECUTION_ID, "--task", "load", "--item", "9")
    assert missing.code == 3
    assert "has no item 9 of task `load`" in missing.err
    for wrong in (("get", "orders", "--task", "load"), ("get", EXECUTION_ID, "--item", "1")):
        assert (await ctl(*wrong)).code == 2


async def test_get_of_a_large_execution_shows_the_items_in_trouble_that_had_no_room(
    ctl: Run, fake: FakeGateway, items: list[execution_pb2.TaskRun]
) -> None:
    counts = execution_pb2.ItemCounts(total=5_000, succeeded=4_999, failed=1)
    running = execution_pb2.TASK_STATUS_RUNNING
    fake.executions.execution.task_counts.total = 5_001
    fake.executions.execution.tasks.add(task_id="load", status=running)
    fake.executions.execution.task_summaries.add(task_id="load", status=running, item_counts=counts)
    page = (await ctl("get", EXECUTION_ID)).out
    assert "4,999 succeeded, 1" in page  # the rest may stand on the next line
    assert "load[1]" in page
    assert "load[0]" not in page


@pytest.mark.parametrize("arguments", [("watch", EXECUTION_ID), ("start", "orders", "--watch")])
async def test_a_watch_ends_with_the_output(ctl: Run, fake: FakeGateway, arguments: tuple[str, ...]) -> None:
    output = fake.executions.execution.output.struct_value
    output.update({"text": "x" * 5_000, "escape": "\x1b[2J"})
    plain = await ctl(*arguments)
    assert plain.code == 0
    begin = plain.out.index("{\n")
    assert json.loads(plain.out[begin:]) == {"text": "x" * 5_000, "escape": "\x1b[2J"}  # all of it, in a pipe
    assert "\x1b" not in plain.out
    lines = [json.loads(line) for line in (await ctl(*arguments, "-o", "json")).out.splitlines()]
    assert lines[-1]["execution"]["output"]["escape"] == "\x1b[2J"
    assert lines[-1]["resume_token"] == "t3"


async def test_a_watch_of_a_failure_ends_with_where_the_handler_failed(ctl: Run, fake: FakeGateway) -> None:
    fake.watches.status = execution_pb2.EXECUTION_STATUS_FAILED
    failure = fake.executions.execution.failure
    failure.type, failure.message = "KeyError", "'count'"
    failure.details = 'Traceback:\n  File "shop.py", line 7, in load\n\x1b[2J'
    failed = await ctl("watch", EXECUTION_ID)
    assert failed.code == 1
    assert failed.out.endswith('    Traceback:\n      File "shop.py", line 7, in load\n    \\x1b[2J\n')


async def test_list_filters(ctl: Run, fake: FakeGateway) -> None:
    ran = await ctl(
        "list", "--workflow", "orders", "--status", "running", "--status", "Failed", "--limit", "5"
    )
    assert EXECUTION_ID in ran.out
    (request,) = fake.executions.requests
    assert request.workflow_id == "orders"
    assert list(request.statuses) == [2, 4]
    assert request.page_size == 5


async def test_lists_for_scripts_are_one_document(ctl: Run, orders: Path) -> None:
    await ctl("apply", str(orders))
    assert len(json.loads((await ctl("list", "-o", "json")).out)["executions"]) == 1
    assert (
        json.loads((await ctl("list", "workflows", "-o", "json")).out)["workflows"][0]["workflow_id"]
        == "orders"
    )
    assert json.loads((await ctl("queues", "-o", "json")).out)["queues"] == [
        {"queue": "default", "length": 7, "oldest_age_seconds": None}
    ]


async def test_pause_and_cancel_pass_reason_and_grace_on(ctl: Run, fake: FakeGateway) -> None:
    assert "‖ Paused" in (await ctl("pause", EXECUTION_ID, "--reason", "lunch")).out
    assert "cancel requested" in (await ctl("cancel", EXECUTION_ID, "--grace", "1m30s", "--reason", "no")).out
    pause, cancel = fake.executions.requests
    assert (pause.reason, cancel.reason, cancel.grace.seconds) == ("lunch", "no", 90)


async def test_release_passes_the_reason_on_and_list_finds_what_is_quarantined(
    ctl: Run, fake: FakeGateway
) -> None:
    fake.executions.execution.quarantine.reason = "no definition"
    assert "Pending quarant" in (await ctl("list", "--quarantined")).out
    assert f"workflowctl release {EXECUTION_ID}" in (await ctl("get", EXECUTION_ID)).out
    released = (await ctl("release", EXECUTION_ID, "--reason", "restored")).out
    assert "Pending" in released
    assert "quarantined" not in released
    listed, _, release = fake.executions.requests
    assert (listed.quarantined, release.reason) == (True, "restored")
    refused = await ctl("list", "workflows", "--quarantined")
    assert (refused.code, "--quarantined chooses executions" in refused.err) == (2, True)


async def test_a_status_that_forbids_it_is_refused(ctl: Run, fake: FakeGateway) -> None:
    fake.executions.execution.final = True
    ran = await ctl("pause", EXECUTION_ID)
    assert (ran.code, ran.err) == (4, "error: the execution is Completed; nothing is left to pause\n")


async def test_with_json_an_error_is_a_document_on_standard_error(ctl: Run) -> None:
    ran = await ctl("get", "nobody", "-o", "json")
    assert (ran.code, ran.out) == (3, "")
    assert json.loads(ran.err) == {
        "error": {
            "message": "there is no workflow nobody; `workflowctl list workflows` shows them",
            "problems": [],
            "next_step": "",
            "exit_code": 3,
        }
    }


async def test_a_missing_execution_or_workflow_is_not_found(ctl: Run) -> None:
    ran = await ctl("get", "nobody")
    assert ran.code == 3
    assert ran.err == "error: there is no workflow nobody; `workflowctl list workflows` shows them\n"


async def test_a_gateway_that_is_away_is_named_with_the_next_step(
    ctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKFLOW_TIMEOUT", "200ms")
    address = f"127.0.0.1:{free_port()}"
    ran = await ctl("list", address=address)
    assert ran.code == 5
    assert ran.err.startswith(f"error: the gateway at {address} does not answer\nnext: ")


@pytest.mark.parametrize(
    "arguments", [("get", "a", "b"), ("list", "--label", "x"), ("cancel", EXECUTION_ID, "--grace", "5")]
)
async def test_wrong_usage_is_two(ctl: Run, arguments: tuple[str, ...]) -> None:
    ran = await ctl(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")


@pytest.mark.parametrize(
    ("grace", "told"),
    [
        ("601s", "must be from 0s to 10m, but is 601s"),
        ("999999h", "must be from 0s to 10m, but is 999999h"),
        ("999999999h", "must be from 0s to 10m, but is 999999999h"),
        ("0.0000000001s", "a part of a nanosecond"),
        ("1e9h", "such as 30s"),
        ("-5s", "such as 30s"),
        ("NaN", "such as 30s"),
        ("", "such as 30s"),
    ],
)
async def test_a_grace_that_no_cancel_can_have_is_wrong_usage(
    ctl: Run, fake: FakeGateway, grace: str, told: str
) -> None:
    ran = await ctl("cancel", EXECUTION_ID, f"--grace={grace}")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --grace: ")
    assert told in ran.err
    assert fake.executions.requests == []


async def test_a_duration_that_no_contract_can_carry_is_found_by_its_line(ctl: Run, tmp_path: Path) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("workflow_id: flow\nexecution_timeout: 999999999h\ntasks: [{id: a, type: noop}]\n")
    ran = await ctl("validate", str(file))
    assert ran.code == 2
    assert f"{file}:2:1" in ran.out
    assert "execution_timeout: '999999999h' is longer than any duration may be" in ran.out


async def test_help_lists_the_exit_codes(ctl: Run) -> None:
    ran = await ctl("--help")
    assert "Exit codes: 0 done" in ran.out
    assert "130 interrupted" in ran.out
