"""The life of a workflow from the command line, on the real stack."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from embedded_stack.supervisor import Supervisor

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="session")]

FIRST = """\
workflow_id: parcels-cli

input_schema:
  type: object
  properties:
    weight:
      type: integer
  required: [weight]

output: ${tasks.weigh.output.grams}

tasks:
  - id: weigh
    type: noop
    input:
      grams: ${input.weight * 1000}
"""
SECOND = FIRST.replace("required: [weight]", "required: [weight, to]").replace(
    "type: noop", "type: post.weigh"
)
BROKEN = FIRST.replace("input.weight *", "input.wieght +").replace("tasks.weigh.", "tasks.wegh.")


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


class Shell:
    """Runs workflowctl in a directory, on a gateway."""

    def __init__(self, directory: Path, gateway: str) -> None:
        self.directory = directory
        self._environment = {**os.environ, "WORKFLOW_GATEWAY": gateway, "NO_COLOR": "1", "COLUMNS": "200"}

    async def __call__(self, *arguments: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workflowctl", *arguments),
            cwd=self.directory,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def shell(stack: Supervisor, tmp_path: Path) -> Shell:
    for name, text in (("first", FIRST), ("second", SECOND), ("broken", BROKEN)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return Shell(tmp_path, stack.plan.addresses["GATEWAY_ADDRESS"])


async def test_a_workflow_lives_from_its_file_to_the_archive(shell: Shell) -> None:
    broken = await shell("validate", "broken.yaml")
    assert broken.code == 4
    assert "broken.yaml:10:1" in broken.out + broken.err
    assert "there is no task `wegh`, did you mean `weigh`?" in broken.out + broken.err
    assert (await shell("versions", "parcels-cli")).code == 3  # nothing was written

    assert (await shell("validate", "first.yaml")).code == 0
    published = await shell("publish", "first.yaml")
    assert (published.code, "active version 1" in published.out) == (0, True)
    again = await shell("publish", "first.yaml")
    assert "unchanged: version 1 is the same already" in again.out

    started = await shell("start", "parcels-cli", "--input", '{"weight": 2}', "--watch")
    assert started.code == 0
    assert "Completed" in started.out

    dry = await shell("publish", "second.yaml", "--dry-run")
    assert dry.code == 0
    assert "MAJOR: the input must have `to` now" in dry.out
    assert "no live worker offers: post.weigh" in dry.out
    assert "nothing was written" in dry.out
    assert "MAJOR" in (await shell("diff", "second.yaml")).out

    graph = await shell("graph", "parcels-cli")
    assert "weigh  noop" in graph.out
    assert "flowchart TD" in (await shell("graph", "first.yaml", "--format", "mermaid")).out
    assert "digraph" in (await shell("graph", "parcels-cli", "--format", "dot")).out

    exported = await shell("export", "parcels-cli", "--version", "1")
    assert exported.out == FIRST
    assert "draft unchanged" in (await shell("apply", "first.yaml")).out

    assert (await shell("publish", "second.yaml")).code == 0
    versions = await shell("versions", "parcels-cli")
    assert [line.split()[0] for line in versions.out.splitlines()[1:]] == ["2", "1"]
    between = await shell("diff", "parcels-cli", "--from", "1", "--to", "2")
    assert "post.weigh" in between.out

    refused = await shell("delete", "parcels-cli", "--yes")
    assert (refused.code, "archive parcels-cli" in refused.err) == (4, True)
    assert (await shell("deactivate", "parcels-cli")).code == 0
    inactive = await shell("start", "parcels-cli", "--input", '{"weight": 2, "to": "x"}')
    assert (inactive.code, "activate parcels-cli" in inactive.err) == (4, True)
    assert (await shell("archive", "parcels-cli")).code == 2  # nobody was there to be asked
    assert (await shell("archive", "parcels-cli", "--yes")).code == 0
    assert (await shell("activate", "parcels-cli")).code == 4
    listed = await shell("list", "workflows", "--status", "archived", "--prefix", "parcels-")
    assert "parcels-cli" in listed.out
