"""docs/language.md keeps its word: every example, on the real stack, gives what the page shows."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from embedded_stack.supervisor import Supervisor
from workflow_sdk import Client
from workflow_sdk.errors import InvalidRequestError, NotFoundError
from workflowctl.definition_file import load
from workflowsystem.catalog.v1.report_pb2 import ChangeClass, ProblemSeverity

from tests.e2e.language_page import PAGE, Example, Run, by_workflow, shown

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]

GATEWAY_OF_MAKE_UP = "127.0.0.1:7080"
SECONDS = 20.0
WORKFLOWS = by_workflow(PAGE.read_text())


@pytest_asyncio.fixture(loop_scope="session")
async def client(stack: Supervisor) -> AsyncIterator[Client]:
    async with Client.connect(stack.plan.addresses["GATEWAY_ADDRESS"]) as client:
        yield client


@pytest.mark.parametrize("workflow_id", WORKFLOWS)
async def test_the_examples_do_what_the_page_shows(
    stack: Supervisor, client: Client, tmp_path: Path, workflow_id: str
) -> None:
    for example in WORKFLOWS[workflow_id]:
        definition = read(tmp_path, example)
        for task in definition.tasks:
            if task.workflow.workflow_id:
                await publish_child(client, tmp_path, task.workflow.workflow_id)
        published = await check_publish(client, example, definition)
        is_shown = example.runs or example.problems or len(WORKFLOWS[workflow_id]) > 1
        assert is_shown or not published, f"docs/language.md:{example.line} does not say what comes out"
        for run in example.runs:
            await check_run(client, workflow_id, run, stack.plan.addresses["GATEWAY_HTTP_ADDRESS"])


def read(folder: Path, example: Example) -> Any:
    path = folder / "workflow.yaml"
    path.write_text(example.yaml)
    return load(str(path)).definition


async def save(client: Client, workflow_id: str, definition: Any) -> None:
    try:
        present = await client.get_workflow(workflow_id, strong=True)
    except NotFoundError:
        await client.create_workflow(workflow_id, definition)
    else:
        await client.update_workflow(workflow_id, definition, etag=present.etag)


async def publish_child(client: Client, folder: Path, workflow_id: str) -> None:
    await save(client, workflow_id, read(folder, WORKFLOWS[workflow_id][0]))
    await client.publish_workflow(workflow_id)


async def check_publish(client: Client, example: Example, definition: Any) -> bool:
    """Whether it is published, as the page says."""
    await save(client, example.workflow_id, definition)
    report = (await client.validate_workflow(example.workflow_id)).message
    assert shown([problem_line(problem) for problem in report.problems], example.problems) == example.problems
    if not report.valid:
        with pytest.raises(InvalidRequestError):
            await client.publish_workflow(example.workflow_id)
        return False
    published = (await client.publish_workflow(example.workflow_id)).message
    lines = changes(published.report.difference) if published.active_version > 1 else []
    assert shown(lines, example.changes) == example.changes
    return True


def problem_line(problem: Any) -> str:
    warning = "warning: " if problem.severity == ProblemSeverity.PROBLEM_SEVERITY_WARNING else ""
    return f"{warning}{problem.field}: {problem.description}"


def changes(difference: Any) -> list[str]:
    return [
        f"{ChangeClass.Name(change.change_class).removeprefix('CHANGE_CLASS_')} {change.path}"
        + (f": {change.reason}" if change.reason else "")
        for change in difference.changes
    ]


async def check_run(client: Client, workflow_id: str, run: Run, gateway: str) -> None:
    given = json.loads(json.dumps(run.input).replace(GATEWAY_OF_MAKE_UP, gateway))
    started = await client.start(workflow_id, given)
    ended = await client.wait(started.execution_id, timeout=SECONDS)
    if "output" in run.ending:
        assert (ended.failure, ended.output) == (None, run.ending["output"])
        return
    failure = run.ending["failure"]
    assert ended.failure is not None, f"it did not fail, and gave {ended.output}"
    assert {name: getattr(ended.failure, name) for name in failure} == failure
