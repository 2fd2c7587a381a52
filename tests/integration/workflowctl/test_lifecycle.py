"""publish, its dry run, and what ends a workflow, as processes against a fake gateway."""

import asyncio
import contextlib
import json
import os
import pty
import sys
from pathlib import Path

import pytest
from workflowsystem.catalog.v1 import workflow_pb2
from workflowsystem.execution.v1 import execution_service_pb2

from tests.fakes.gateway import FakeGateway
from tests.integration.workflowctl.conftest import Run, write

GOOD = """\
workflow_id: orders
description: first
tasks:
  - id: charge
    type: orders.charge
  - id: ship
    type: orders.ship
    needs: [charge]
"""
SCHEMA = "input_schema: {required: [amount]}\n"
NOTHING_WRITTEN = "nothing was written"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(GOOD)
    return path


def in_flight(*versions: tuple[int, int, int, int], missing: tuple[str, ...] = ()) -> object:
    usage = execution_service_pb2.VersionUsage
    return execution_service_pb2.WorkflowUsage(
        workflow_id="orders",
        versions=[
            usage(version=v, running_count=r, pending_count=w, paused_count=p) for v, r, w, p in versions
        ],
        task_types_without_worker=missing,
    )


async def test_a_dry_run_of_a_file_tells_difference_and_impact_and_writes_nothing(
    ctl: Run, orders: Path, fake: FakeGateway
) -> None:
    await ctl("publish", str(orders))
    fake.executions.usage = in_flight((1, 10, 2, 0), missing=("orders.ship",))
    write(orders, GOOD + SCHEMA)
    ran = await ctl("publish", str(orders), "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"orders  version 1 → {orders}  MAJOR, 1 change: an input that was accepted may no longer be",
        '  + input_schema  {"required": ["amount"]}',
        "    MAJOR: inputs without `amount`",
        "impact",
        "  version 1: 12 executions in flight (10 running, 2 pending); they keep this version",
        "  no live worker offers: orders.ship",
        f"✔ orders  would become version 2; {NOTHING_WRITTEN}",
    ]
    stored = fake.catalog.workflows["orders"]

    assert not stored.definition.HasField("input_schema")
    assert list(fake.executions.requests[-1].task_types) == ["orders.charge", "orders.ship"]


async def test_a_dry_run_of_a_workflow_that_is_not_there_creates_none(
    ctl: Run, orders: Path, fake: FakeGateway
) -> None:
    ran = await ctl("publish", str(orders), "--dry-run")

    assert ran.code == 0
    assert "no version is active" in ran.out
    assert f"would become version 1; {NOTHING_WRITTEN}" in ran.out
    assert fake.catalog.workflows == {}


async def test_a_dry_run_of_a_draft_has_the_problems_and_does_not_publish(
    ctl: Run, orders: Path, fake: FakeGateway
) -> None:
    write(orders, GOOD.replace("orders.ship", "bad"))
    await ctl("apply", str(orders))
    ran = await ctl("publish", "orders", "--dry-run")

    assert ran.code == 4
    assert "error  tasks[1].type: no worker ever offered `bad`; did you mean `band`?" in ran.out
    assert f"✘ orders  would be refused: 1 error; {NOTHING_WRITTEN}" in ran.out
    assert fake.catalog.workflows["orders"].active_version == 0


async def test_without_the_orchestrator_the_impact_is_unknown_and_the_rest_is_told(
    ctl: Run, orders: Path, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKFLOW_TIMEOUT", "60s")
    fake.executions.usage = None
    ran = await ctl("publish", str(orders), "--dry-run")
    assert ran.code == 0
    assert "impact  unknown: the orchestrator does not answer" in ran.out
    document = json.loads((await ctl("publish", str(orders), "--dry-run", "--json")).out)

    assert (document["publishable"], document["usage"], document["problems"]) == (True, None, [])


async def test_a_dry_run_of_the_same_says_unchanged(ctl: Run, orders: Path) -> None:
    await ctl("publish", str(orders))
    ran = await ctl("publish", str(orders), "--dry-run")

    assert f"✔ orders  unchanged: version 1 is the same already; {NOTHING_WRITTEN}" in ran.out


async def test_a_dry_run_knows_that_an_inactive_workflow_is_not_published(ctl: Run, orders: Path) -> None:
    await ctl("publish", str(orders))
    await ctl("deactivate", "orders")
    ran = await ctl("publish", str(orders), "--dry-run")

    assert ran.code == 4
    assert f"{orders}  error  orders is Inactive: run `workflowctl activate orders" in ran.out


async def test_a_dry_run_has_the_problems_of_the_file_too(ctl: Run, orders: Path) -> None:
    write(orders, GOOD.replace("orders.charge", "bad") + "onwer: ada\n")
    ran = await ctl("publish", str(orders), "--dry-run")

    assert ran.code == 4
    assert f"{orders}:5:5  error  tasks[0].type: no worker ever offered" in ran.out
    assert f"{orders}:9:1  error  onwer: there is no such field; did you mean `owner`?" in ran.out


async def test_publish_says_the_class_and_the_warnings_and_when_nothing_is_new(
    ctl: Run, orders: Path
) -> None:
    assert (await ctl("publish", str(orders))).out.splitlines()[-1] == "✔ orders  Active  active version 1"
    write(orders, GOOD.replace("orders.ship", "odd"))
    lines = (await ctl("publish", str(orders))).out.splitlines()
    assert lines[-2:] == [
        f"  {orders}:7:5  warning  tasks[1].type: it is odd",
        "✔ orders  Active  active version 2, MINOR",
    ]

    again = (await ctl("publish", "orders")).out.splitlines()

    assert again[-1] == "✔ orders  Active  unchanged: version 2 is the same already"


async def test_deactivate_says_how_many_run_on_and_activate_on_what_they_start(
    ctl: Run, orders: Path, fake: FakeGateway
) -> None:
    await ctl("publish", str(orders))
    fake.executions.usage = in_flight((2, 1, 0, 0), (1, 0, 0, 3))
    ran = await ctl("deactivate", "orders")

    assert ran.out == (
        "✔ orders  Inactive  no execution starts any more; 4 executions in flight (1 running, 3 paused), "
        "which continue\n"
    )
    assert (await ctl("activate", "orders")).out == "✔ orders  Active  executions start on version 1\n"


async def test_more_than_is_counted_is_said_to_be_more(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    await ctl("publish", str(orders))
    fake.executions.usage = in_flight((1, 10_000, 0, 0))
    ran = await ctl("deactivate", "orders")

    assert "over 10,000 executions in flight (over 10,000 running)" in ran.out


@pytest.mark.parametrize("action", ["archive", "delete"])
async def test_a_script_must_say_yes_to_what_cannot_be_undone(
    ctl: Run, orders: Path, fake: FakeGateway, action: str
) -> None:
    await ctl("apply", str(orders))
    ran = await ctl(action, "orders", stdin="y\n")

    assert (ran.code, ran.out) == (2, "")
    assert "next: add --yes" in ran.err
    assert fake.catalog.workflows["orders"].status == workflow_pb2.WORKFLOW_STATUS_DRAFT


async def test_archive_with_yes_is_read_only_for_good(ctl: Run, orders: Path, fake: FakeGateway) -> None:
    await ctl("publish", str(orders))
    ran = await ctl("archive", "orders", "--yes")

    assert ran.out == "✔ orders  Archived  permanently read-only; no execution of it runs now\n"
    assert fake.catalog.workflows["orders"].status == workflow_pb2.WORKFLOW_STATUS_ARCHIVED


async def test_delete_removes_a_draft_and_is_refused_for_what_was_published(
    ctl: Run, orders: Path, fake: FakeGateway
) -> None:
    await ctl("apply", str(orders))
    assert (await ctl("delete", "orders", "--yes")).out == "✔ orders  deleted\n"
    assert fake.catalog.workflows == {}
    await ctl("publish", str(orders))
    refused = await ctl("delete", "orders", "--yes")

    assert (refused.code, "run `workflowctl archive" in refused.err) == (4, True)
    assert (await ctl("delete", "nobody", "--yes")).code == 3


@pytest.mark.parametrize(("typed", "code", "left"), [(b"n\n", 2, 1), (b"y\n", 0, 0), (b"\x03", 130, 1)])
async def test_on_a_terminal_it_asks(
    ctl: Run, orders: Path, fake: FakeGateway, typed: bytes, code: int, left: int
) -> None:
    await ctl("apply", str(orders))
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workflowctl", "delete", "orders"),
        *("--address", f"127.0.0.1:{fake.port}"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: _own_terminal(slave),
    )
    os.close(slave)
    shown = await asyncio.to_thread(_read_until, master, b"[y/N]")
    assert b"permanently delete the draft orders?" in shown
    os.write(master, typed)
    assert await asyncio.wait_for(process.wait(), 20) == code

    os.close(master)

    assert len(fake.catalog.workflows) == left


def _own_terminal(descriptor: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    shown = b""
    with contextlib.suppress(OSError):
        while wanted not in shown:
            shown += os.read(descriptor, 4096)
    return shown
