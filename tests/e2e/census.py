"""The census of the examples on a small tree, and one execution of it that is watched from the outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from testkit import eventually
from workflow_sdk import Client, Event, Execution
from workflowctl.definition_file import load

from examples.code_census import handlers
from tests.e2e.watcher import Watcher

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples" / "code_census" / "workflow.yaml"
PACKAGES = 60
FUNCTIONS = 400
"""In each package, and a few more in each than in the one before: a census that lost one would tell."""

MIDDLE = 10
"""So many packages are counted when a test interferes."""

COMPLETED_SECONDS = 45.0


def make_tree(root: Path) -> Path:
    """Packages that take a worker some 30 ms each to count."""
    for number in range(PACKAGES):
        package = root / f"package_{number:02}"
        package.mkdir()
        functions = FUNCTIONS + number
        source = "\n".join(
            f"def function_{n}(a, b=[1, 2]):\n    return a + b[{n}] * 2\n" for n in range(functions)
        )
        (package / "__init__.py").write_text(source)
    return root


def expected_report(root: Path) -> dict[str, Any]:
    """What the handlers make of the tree without any engine."""
    listed = handlers.list_packages({"root": str(root)})
    counts = [handlers.count_package(package) for package in listed["packages"]]
    return handlers.report({"root": listed["root"], "counts": counts})


class Run:
    """One execution of the census."""

    def __init__(self, client: Client, execution_id: str, watcher: Watcher) -> None:
        self.client = client
        self.execution_id = execution_id
        self.watcher = watcher

    async def middle(self) -> None:
        """Wait until some packages are counted. Fails where none is left to be."""
        await eventually(lambda: len(self.counted) >= MIDDLE, timeout=COMPLETED_SECONDS)
        assert len(self.counted) < PACKAGES, "the census was over before the test could interfere"

    @property
    def counted(self) -> list[Any]:
        """The events that tell of a counted package."""
        return [
            event
            for event in self.watcher.of_type("TASK_SUCCEEDED")
            if event.task_id == "count_package" and event.HasField("item")
        ]

    async def final(self) -> Execution:
        """The execution when it is final, and its watcher has heard of that."""
        execution = await self.client.wait(self.execution_id, timeout=COMPLETED_SECONDS)
        await asyncio.wait_for(self.watcher.ended(), timeout=COMPLETED_SECONDS)
        return execution

    async def history(self) -> list[Event]:
        """Every event that is stored."""
        return [event async for event in self.client.events(self.execution_id, strong=True)]


class Census:
    """The published workflow, and what its report must be."""

    def __init__(self, client: Client, gateway: str, tree: Path, report: dict[str, Any]) -> None:
        self.client = client
        self.report = report
        self._gateway = gateway
        self._tree = tree

    @classmethod
    @asynccontextmanager
    async def connect(cls, gateway: str, tree: Path, report: dict[str, Any]) -> AsyncIterator[Self]:
        """Through the gateway, as users do."""
        async with Client.connect(gateway) as client:
            yield cls(client, gateway, tree, report)

    async def publish(self) -> None:
        """Make it startable."""
        file = load(str(WORKFLOW))
        await self.client.create_workflow(file.workflow_id, file.definition)
        await self.client.publish_workflow(file.workflow_id)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Run]:
        """Start an execution and watch it."""
        execution = await self.client.start("code-census", {"root": str(self._tree)})
        watcher = Watcher(self._gateway, execution.execution_id)
        watching = asyncio.create_task(watcher.run())
        try:
            yield Run(self.client, execution.execution_id, watcher)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
