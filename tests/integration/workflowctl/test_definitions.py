"""versions, export and lists of workflows, as processes against a fake gateway."""

import json
from pathlib import Path

import pytest
from workflowsystem.catalog.v1 import workflow_pb2
from workflowsystem.execution.v1.execution_service_pb2 import WorkflowUsage

from tests.fakes.gateway import FakeGateway
from tests.integration.workflowctl.conftest import Run, write

GOOD = """\
workflow_id: orders
description: first
labels: {team: shop}
owner: ada
tasks:
  - id: charge
    type: orders.charge
    timeouts: {start_to_close: 90s}
"""


@pytest.fixture
async def published(ctl: Run, tmp_path: Path) -> Path:
    """A workflow of two versions, with a draft that differs."""
    path = tmp_path / "orders.yaml"
    for description in ("first", "second"):
        write(path, GOOD.replace("first", description))
        await ctl("publish", str(path))
    write(path, GOOD.replace("first", "third"))
    await ctl("apply", str(path))
    return path


async def test_versions_are_listed_newest_first_with_the_active_one_marked(
    ctl: Run, published: Path, fake: FakeGateway
) -> None:
    lines = [line.split() for line in (await ctl("versions", "orders")).out.splitlines()]
    assert [line[0] for line in lines] == ["version", "2", "1"]
    newest, oldest = fake.catalog.versions["orders"][1], fake.catalog.versions["orders"][0]
    assert lines[1][-2:] == [newest.content_hash[:12], "active"]
    assert lines[2][-1] == oldest.content_hash[:12]
    document = json.loads((await ctl("versions", "orders", "--json")).out)

    assert (document["active_version"], [v["version"] for v in document["versions"]]) == (2, [2, 1])


async def test_an_export_is_a_file_that_publishes_the_same(
    ctl: Run, published: Path, tmp_path: Path, fake: FakeGateway
) -> None:
    exported = tmp_path / "exported.yaml"
    ran = await ctl("export", "orders", "--version", "1", "-o", str(exported))
    assert (ran.code, ran.out) == (0, "")
    assert "description: first" in exported.read_text(encoding="utf-8")
    await ctl("apply", str(exported))

    assert fake.catalog.workflows["orders"].definition == fake.catalog.versions["orders"][0].definition


async def test_an_export_is_the_draft_unless_a_version_is_named(ctl: Run, published: Path) -> None:
    assert "description: third" in (await ctl("export", "orders")).out
    assert "description: second" in (await ctl("export", "orders", "--version", "0")).out
    document = json.loads((await ctl("export", "orders", "--json")).out)

    assert (document["workflow_id"], document["description"]) == ("orders", "third")
    assert (await ctl("export", "orders", "--version", "9")).code == 3


async def test_an_export_that_cannot_be_written_says_so(ctl: Run, published: Path, tmp_path: Path) -> None:
    ran = await ctl("export", "orders", "-o", str(tmp_path))
    assert (ran.code, "Is a directory" in ran.err) == (8, True)


async def test_workflows_are_listed_by_every_filter(ctl: Run, published: Path, fake: FakeGateway) -> None:
    ran = await ctl(
        *("list", "workflows", "--status", "active", "--status", "Inactive", "--label", "team=shop"),
        *("--owner", "ada", "--prefix", "ord", "--limit", "7"),
    )
    assert ran.code == 0
    header, row = [line.split() for line in ran.out.splitlines()]
    assert header == ["workflow", "status", "version", "draft", "owner", "labels", "updated"]
    assert row[:6] == ["orders", "Active", "2", "changed", "ada", "team=shop"]
    (request,) = fake.catalog.requests["ListWorkflows"]

    assert list(request.statuses) == [
        workflow_pb2.WORKFLOW_STATUS_ACTIVE,
        workflow_pb2.WORKFLOW_STATUS_INACTIVE,
    ]
    assert (dict(request.labels), request.owner, request.workflow_id_prefix, request.page_size) == (
        {"team": "shop"},
        "ada",
        "ord",
        7,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("workflows", "--status", "running"),
        ("workflows", "--workflow", "x"),
        ("executions", "--status", "draft"),
        ("--owner", "ada"),
        ("--prefix", "x"),
    ],
)
async def test_a_filter_that_fits_only_the_other_kind_is_wrong_usage(
    ctl: Run, arguments: tuple[str, ...]
) -> None:
    ran = await ctl("list", *arguments)
    assert (ran.code, ran.out) == (2, "")


async def test_a_graph_is_drawn_of_a_file_a_draft_and_a_version(
    ctl: Run, published: Path, tmp_path: Path
) -> None:
    two = GOOD + "  - {id: ship, type: orders.ship, needs: [charge], when: '${true}'}\n"
    write(published, two)
    ran = await ctl("graph", str(published))
    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"{published}  2 tasks in 2 layers",
        "●  charge  orders.charge",
        "│",
        "◆  ship    orders.ship    when ${true}",
        "",
        "◆ if its condition holds",
    ]
    await ctl("apply", str(published))
    assert (await ctl("graph", "orders")).out.splitlines()[0] == "orders  draft  2 tasks in 2 layers"
    older = await ctl("graph", "orders", "--version", "1")
    assert older.out.splitlines() == ["orders  version 1  1 task in 1 layer", "●  charge  orders.charge"]
    assert "n0 --> n1" in (await ctl("graph", "orders", "--format", "mermaid")).out
    assert "n0 -> n1;" in (await ctl("graph", "orders", "-f", "dot")).out

    rows = json.loads((await ctl("graph", "orders", "--json")).out)["tasks"]

    assert rows[1] == {"id": "ship", "type": "orders.ship", "needs": ["charge"], "layer": 1}


async def test_a_circle_cannot_be_drawn_and_is_named(ctl: Run, tmp_path: Path) -> None:
    path = tmp_path / "circle.yaml"
    write(path, "tasks: [{id: a, type: x, needs: [b]}, {id: b, type: x, needs: [a]}]")
    ran = await ctl("graph", str(path))

    assert ran.code == 2
    assert "a → b → a" in ran.err or "b → a → b" in ran.err


async def test_a_publish_names_the_task_types_that_no_live_worker_offers(
    ctl: Run, published: Path, fake: FakeGateway
) -> None:
    fake.executions.usage = WorkflowUsage(task_types_without_worker=["orders.charge"])
    ran = await ctl("publish", str(published))
    assert ran.out.splitlines()[-1] == "  no live worker offers: orders.charge"
    script = await ctl("publish", str(published), "--json")

    assert "no live worker" not in script.out
