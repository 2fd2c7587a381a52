"""A worker says on standard error what it is connected to, what is wrong, and how its handlers fail."""

import json
from pathlib import Path

import pytest
from testkit import eventually
from testkit.ports import free_ports
from workflow_sdk.testing import FakeOrchestrator

from tests.integration.worker.conftest import StartProcess

SCRIPT = """
import logging, sys
from workflow_sdk import Worker, task
from tests.integration.sdk.sync_handlers import fail, double

@task("shop.load")
async def load(order):
    return order["count"]

if __name__ == "__main__":
    {set_up}
    Worker(sys.argv[1], tasks=[load, fail, double], worker_id="vm-2629").run_until_signalled()
"""


def lines_with(log: Path, text: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if text in line]


async def test_a_worker_without_logging_says_to_what_it_is_connected_and_as_whom(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT.format(set_up=""))
    worker = await start_process(str(script), orchestrator.address)
    await eventually(lambda: len(lines_with(worker.log, "connected to")) == 2, 30)
    (first,) = lines_with(worker.log, "async tasks")
    begin = f"INFO connected to {orchestrator.address} as vm-2629; async tasks: shop.load;"
    assert first.endswith(f"{begin} namespace default; queue default")

    (second,) = lines_with(worker.log, "; sync tasks")

    assert "sync tasks: sync.double, sync.fail;" in second


async def test_a_worker_without_logging_says_that_nobody_answers(
    start_process: StartProcess, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT.format(set_up=""))
    worker = await start_process(str(script), address)
    await eventually(lambda: len(lines_with(worker.log, f"WARNING {address} does not answer (")) == 2, 30)
    line = lines_with(worker.log, "does not answer")[0]

    assert "refused" in line
    assert "the worker tries again, at least every 2 s" in line


@pytest.mark.parametrize(
    ("task_type", "value", "place"), [("shop.load", {}, "shop.py"), ("sync.fail", "no", "sync_handlers.py")]
)
async def test_a_worker_without_logging_shows_how_a_handler_failed(
    orchestrator: FakeOrchestrator,
    start_process: StartProcess,
    tmp_path: Path,
    task_type: str,
    value: object,
    place: str,
) -> None:
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT.format(set_up=""))
    worker = await start_process(str(script), orchestrator.address)
    lease = await orchestrator.give(task_type, value, attempt=3)
    failure = (await orchestrator.result_of(lease, 30)).failure
    summary = f"WARNING {task_type} failed: {failure.type}: {failure.message} (attempt 3 of"
    await eventually(lambda: len(lines_with(worker.log, summary)) == 1)

    assert lines_with(worker.log, f'{place}", line ')


@pytest.mark.parametrize(
    "set_up",
    [
        "logging.basicConfig(level=logging.INFO, format='mine|%(message)s')",
        "logging.getLogger('workflow_sdk').addHandler(logging.StreamHandler());"
        " logging.getLogger('workflow_sdk').setLevel(logging.INFO)",
    ],
)
async def test_the_logging_of_the_program_wins_and_no_line_comes_twice(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path, set_up: str
) -> None:
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT.format(set_up=set_up))
    worker = await start_process(str(script), orchestrator.address)
    await orchestrator.result_of(await orchestrator.give("sync.double", 1), 30)
    (line,) = lines_with(worker.log, "; async tasks:")

    assert line.startswith("mine|connected" if "mine" in set_up else "connected")


async def test_logging_that_is_configured_while_the_worker_runs_replaces_the_default(
    orchestrator: FakeOrchestrator, start_process: StartProcess, tmp_path: Path
) -> None:
    script = tmp_path / "shop.py"
    text = SCRIPT.format(set_up="").replace(
        'return order["count"]',
        "logging.basicConfig(level=logging.INFO, format='mine|%(message)s'); raise KeyError('count')",
    )
    script.write_text(text)
    worker = await start_process(str(script), orchestrator.address)
    await orchestrator.result_of(await orchestrator.give("shop.load", {}), 30)

    await eventually(lambda: len(lines_with(worker.log, "shop.load failed")) == 1)

    assert lines_with(worker.log, "shop.load failed")[0].startswith("mine|")


async def test_the_deployable_worker_logs_the_address_and_the_reason_as_fields(
    orchestrator: FakeOrchestrator, start_process: StartProcess
) -> None:
    worker = await start_process(WORKFLOW_WORKER_ID="w-7")

    def events() -> dict[str, dict[str, object]]:
        read = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
        return {line["event"]: line for line in read if line.get("logger") == "workflow_sdk.worker"}

    await eventually(lambda: "session_opened" in events(), 30)
    assert events()["session_opened"]["address"] == orchestrator.address
    await orchestrator.stop()
    await eventually(lambda: "session_lost" in events(), 30)
    lost = events()["session_lost"]
    assert (lost["address"], lost["level"]) == (orchestrator.address, "warning")
    assert lost["problem"]
