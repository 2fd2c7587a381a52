"""Async handlers that fork, or whose threads send heartbeats; and exceptions that can't be described."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from testkit import eventually
from workflow_sdk import TaskContext, task
from workflow_sdk.testing import FakeOrchestrator

from tests.integration.sdk import unruly_handlers
from tests.integration.sdk.conftest import StartWorker

FORKS = """
import os, sys
from workflow_sdk import Worker, task

@task("async.fork")
async def fork(how):
    pid = os.fork()
    if pid == 0:
        if how == "raise":
            raise RuntimeError("in the forked process")
        return "the forked process"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

if __name__ == "__main__":
    Worker(sys.argv[1], tasks=[fork]).run_until_signalled()
"""


@pytest.mark.parametrize(("how", "status"), [("raise", 1), ("return", 0)])
async def test_a_process_that_an_async_handler_forks_does_not_go_on_as_a_worker(
    orchestrator: FakeOrchestrator, tmp_path: Path, how: str, status: int
) -> None:
    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(script), orchestrator.address, stderr=asyncio.subprocess.DEVNULL
    )

    try:
        for _ in range(2):
            result = await orchestrator.result_of(await orchestrator.give("async.fork", how), 20)
            assert result.output == str(status).encode()
        assert len(orchestrator.results) == 2
    finally:
        worker.kill()
        await worker.wait()


async def test_heartbeats_of_the_threads_of_an_async_handler_arrive_at_once(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    told = asyncio.Event()

    @task("async.threads")
    async def threads(_: Any, context: TaskContext) -> str:
        await asyncio.to_thread(context.heartbeat, {"from": "a thread"})
        await told.wait()
        return "done"

    await start_worker(threads)
    lease = await orchestrator.give("async.threads")

    def arrived() -> bool:
        beats = [beat for message in orchestrator.heartbeats for beat in message.heartbeats]
        return any(beat.progress == b'{"from":"a thread"}' for beat in beats)

    await eventually(arrived)
    told.set()
    assert (await orchestrator.result_of(lease)).output == b'"done"'


async def test_a_thread_that_outlives_its_async_handler_says_nothing_more(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    contexts: list[TaskContext] = []

    @task("async.leftover")
    async def leftover(_: Any, context: TaskContext) -> None:
        contexts.append(context)

    running = await start_worker(leftover)
    await orchestrator.result_of(await orchestrator.give("async.leftover"))
    contexts[0].heartbeat({"late": True})
    await asyncio.to_thread(contexts[0].heartbeat, {"late": True})
    await orchestrator.result_of(await orchestrator.give("async.leftover"))
    assert not running.worker._lanes[0]._heartbeats._news


@pytest.mark.parametrize("which", list(unruly_handlers.ERRORS))
async def test_whatever_an_async_handler_raises_is_its_failure(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, which: str
) -> None:
    @task("async.raise")
    async def raise_it(_: Any) -> None:
        raise unruly_handlers.ERRORS[which]()

    await start_worker(raise_it)
    failure = (await orchestrator.result_of(await orchestrator.give("async.raise"))).failure
    assert (failure.type, failure.non_retryable) == (which, which == "DeclinedError")


async def test_an_observer_that_raises_keeps_no_attempt_from_its_end(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    class Broken:
        def task_started(self, *_: Any) -> None:
            raise ValueError("started")

        def task_ended(self, *_: Any) -> None:
            raise ValueError("ended")

        def report_refused(self, *_: Any) -> None:
            raise ValueError("refused")

    @task("async.pid")
    async def pid(_: Any) -> int:
        return os.getpid()

    await start_worker(pid, observer=Broken())
    result = await orchestrator.result_of(await orchestrator.give("async.pid"))
    assert json.loads(result.output) == os.getpid()
