"""GetWorkflowUsage: the largest answer fits into a message, and says where the older versions begin."""

from collections.abc import Iterable
from typing import Any

from execution_orchestrator.adapters.plan_compiler import task_types_of
from execution_orchestrator.application.ports.reads import ALL_VERSIONS, MAX_USAGE_VERSIONS
from execution_orchestrator.application.watching.usage import Usage, WorkflowUsage
from service_kit.data.consistency import EVENTUAL
from service_kit.rpc.server import MAX_MESSAGE_BYTES
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.reads import FakeReads

TYPES_OF_A_VERSION = 500
MAX_TYPE_CHARS = 128


class Plans:
    """Each version has types of its own, as long as they may be."""

    def __init__(self, types: int) -> None:
        self._types = types

    def peek(self, _namespace: str, _workflow_id: str, version: int) -> Any:
        names = range(self._types)
        return type("Plan", (), {"task_types": frozenset(long_name(version, each) for each in names)})()


class NobodyIsLive:
    async def missing(self, _namespace: str, task_types: Iterable[str]) -> list[str]:
        return sorted(task_types)


def long_name(version: int, number: int) -> str:
    return f"t{version:05}x{number:05}".ljust(MAX_TYPE_CHARS, "y")


async def page(
    versions: int, asked: Iterable[str] = (), below: int | None = None, types: int = TYPES_OF_A_VERSION
) -> WorkflowUsage:
    reads: Any = FakeReads(versions=versions)
    usage = Usage(reads, Plans(types), NobodyIsLive(), task_types_of)  # type: ignore[arg-type]
    return await usage.of("default", "flow", asked, EVENTUAL, below)


async def walk(versions_in_flight: int, types: int = TYPES_OF_A_VERSION) -> list[int]:
    versions, below = list[int](), None
    while True:
        found = await page(versions_in_flight, below=below, types=types)
        assert found.versions
        versions += [each.version for each in found.versions]
        below = found.next_below_version
        if below is None:
            return versions


async def test_the_largest_page_fits_into_a_message() -> None:
    asked = [long_name(99_999, number) for number in range(500)]
    found = await page(1_000, asked)

    message = pb.WorkflowUsage(
        versions=[
            pb.VersionUsage(version=2**31 - 1, pending_count=p, running_count=r, paused_count=s)
            for _, p, r, s in found.versions
        ],
        task_types_without_worker=found.task_types_without_worker,
        next_page_token="x" * 1_024,
    )

    assert len(found.versions) < MAX_USAGE_VERSIONS
    assert message.ByteSize() < 3 * 1024 * 1024 < MAX_MESSAGE_BYTES


async def test_every_version_is_on_some_page() -> None:
    assert await walk(70) == list(range(70, 0, -1))
    assert await walk(250, types=1) == list(range(250, 0, -1))


async def test_the_last_page_says_so() -> None:
    found = await page(3, types=1)
    assert (len(found.versions), found.next_below_version) == (3, None)
    empty = await page(0)

    assert (empty.versions, empty.next_below_version) == ([], None)
    assert (await page(3, below=1, types=1)).versions == []
    assert ALL_VERSIONS == 2**31 - 1
