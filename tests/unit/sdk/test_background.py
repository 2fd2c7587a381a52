"""Work in the background of a worker goes on, whatever ends it."""

import asyncio
import logging

import pytest
from testkit import eventually
from workflow_sdk import Worker, task
from workflow_sdk.worker.background import keep_running
from workflow_sdk.worker.loop_lag import LoopLag


@task("noop")
async def noop(_: object) -> None:
    return None


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.event for record in caplog.records if hasattr(record, "event")]


async def test_work_that_fails_or_ends_starts_again_and_each_error_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts <= 3:
            raise RuntimeError("a defect")
        if starts > 4:
            await asyncio.Event().wait()

    running = asyncio.create_task(keep_running(work, "the work"))
    await eventually(lambda: running.done() or starts == 5)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [r.getMessage().split(" failed")[0] for r in caplog.records] == ["the work", "the work"]
    assert all(record.exc_info for record in caplog.records)


async def test_a_worker_whose_watch_of_the_event_loop_fails_goes_on_and_watches_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = LoopLag.run
    starts = 0

    async def run(self: LoopLag) -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise RuntimeError("a defect")
        await original(self)

    monkeypatch.setattr(LoopLag, "run", run)
    stop = asyncio.Event()
    with caplog.at_level(logging.ERROR):
        worker = asyncio.create_task(Worker("127.0.0.1:1", tasks=[noop], grace=0.0).run(stop))
        await eventually(lambda: worker.done() or starts == 2)
        assert not worker.done()
        stop.set()
        await worker
    assert "background_work_failed" in events(caplog)
