import asyncio
from pathlib import Path
from typing import Any

from testkit import eventually
from workflow_sdk import TaskContext, task
from workflow_sdk.testing import FakeOrchestrator
from workflow_sdk.worker.lane import REPORT_SECONDS

from tests.integration.sdk import sync_handlers
from tests.integration.sdk.conftest import StartWorker


class Gate:
    """A handler that waits until the test lets it go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.started = 0

        @task("gate")
        async def gate(value: Any) -> Any:
            self.started += 1
            await self.open.wait()
            return value

        self.handler = gate


async def test_a_result_that_was_not_acknowledged_is_sent_again_on_the_next_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    await start_worker(gate.handler, slots=10)
    orchestrator.acknowledges = False
    lease = await orchestrator.give("gate", 5)
    gate.open.set()
    await orchestrator.result_of(lease)
    orchestrator.session.outgoing.put_nowait(ConnectionError("broken"))
    orchestrator.acknowledges = True
    session = await orchestrator.connected(2)
    await eventually(lambda: len(orchestrator.results) == 2)
    assert orchestrator.results[0] == orchestrator.results[1]
    await eventually(lambda: session.granted == [9])

    await eventually(lambda: session.credits == 10)


async def test_a_result_that_was_acknowledged_is_not_sent_again(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler)
    gate.open.set()
    await orchestrator.result_of(await orchestrator.give("gate", 5))
    await eventually(lambda: running.worker.status.processed == 1)
    orchestrator.session.outgoing.put_nowait(ConnectionError("broken"))
    await orchestrator.connected(2)

    await orchestrator.result_of(await orchestrator.give("gate", 6))

    assert len(orchestrator.results) == 2


async def test_a_handler_runs_on_over_a_restart_of_the_orchestrator(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler, slots=4)
    lease = await orchestrator.give("gate", "kept")
    await eventually(lambda: gate.started == 1)
    first_boot = orchestrator.session.hello.boot_id if orchestrator.session.hello else ""
    await orchestrator.stop()
    await eventually(lambda: not running.worker.status.connected)
    assert running.worker.status.problem
    await orchestrator.start()
    session = await orchestrator.connected(2)
    assert session.hello is not None
    assert session.hello.boot_id == first_boot
    await eventually(lambda: session.granted == [3])

    gate.open.set()

    assert (await orchestrator.result_of(lease)).output == b'"kept"'
    assert gate.started == 1


async def test_signs_of_life_during_an_absence_are_told_on_the_next_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    begun, gone, told, end = (asyncio.Event() for _ in range(4))

    @task("lively")
    async def lively(_: Any, context: TaskContext) -> None:
        begun.set()
        await gone.wait()
        context.heartbeat({"step": 2})
        told.set()
        await end.wait()

    running = await start_worker(lively)
    lease = await orchestrator.give("lively", heartbeat_timeout=0.06)
    await begun.wait()  # a lease that is still on its way is lost with the session
    await orchestrator.stop()
    await eventually(lambda: not running.worker.status.connected)
    gone.set()
    await told.wait()
    await orchestrator.start()
    await orchestrator.connected(2)

    def signs() -> list[bytes]:
        return [h.progress for m in orchestrator.heartbeats for h in m.heartbeats if h.handler_alive]

    await eventually(lambda: signs() == [b'{"step":2}'])
    end.set()
    await orchestrator.result_of(lease)


async def test_a_sign_of_life_that_nobody_acknowledged_is_told_again_with_its_progress(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    end = asyncio.Event()

    @task("lively")
    async def lively(_: Any, context: TaskContext) -> None:
        context.heartbeat({"step": 1})
        await end.wait()

    def signs() -> list[bytes]:
        return [h.progress for m in orchestrator.heartbeats for h in m.heartbeats if h.handler_alive]

    orchestrator.answers_heartbeats = False
    running = await start_worker(lively)
    lease = await orchestrator.give("lively", heartbeat_timeout=0.06)
    await eventually(lambda: signs() == [b'{"step":1}'])
    await orchestrator.stop()
    await eventually(lambda: not running.worker.status.connected)
    orchestrator.heartbeats.clear()
    orchestrator.answers_heartbeats = True
    await orchestrator.start()
    await orchestrator.connected(2)
    await eventually(lambda: signs() == [b'{"step":1}'])
    end.set()
    await orchestrator.result_of(lease)


async def test_a_worker_waits_for_an_orchestrator_that_is_not_there_yet(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    await orchestrator.stop()
    running = await start_worker(gate.handler)
    await eventually(lambda: running.worker.status.problem not in ("", "not running", "connecting"))
    await orchestrator.start()
    await orchestrator.connected()
    await eventually(lambda: running.worker.status.connected)


async def test_an_orchestrator_that_drains_is_left_and_asked_again(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    await start_worker(gate.handler)
    lease = await orchestrator.give("gate", 1)
    first = orchestrator.session
    first.say(drain={})
    await orchestrator.connected(2)
    assert first.half_closed

    gate.open.set()

    assert (await orchestrator.result_of(lease)).output == b"1"


async def test_draining_lets_handlers_finish_and_takes_nothing_new(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler, grace=10.0)
    lease = await orchestrator.give("gate", 1)
    await eventually(lambda: gate.started == 1)
    running.stop.set()
    await eventually(lambda: orchestrator.session.draining)
    late = await orchestrator.give("gate", 2)  # was on its way when the worker said Draining
    assert (await orchestrator.result_of(late)).WhichOneof("outcome") == "handed_back"
    gate.open.set()

    await running.drained()

    assert (await orchestrator.result_of(lease)).output == b"1"
    assert orchestrator.session.half_closed
    assert running.worker.status.processed == 1


async def test_what_does_not_finish_within_the_grace_is_handed_back(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler, grace=0.1)
    leases = [await orchestrator.give("gate", n) for n in range(3)]
    await eventually(lambda: gate.started == 3)
    await running.drained()
    for lease in leases:
        assert (await orchestrator.result_of(lease)).WhichOneof("outcome") == "handed_back"

    assert running.worker.status.processed == 0


async def test_sync_tasks_that_wait_for_a_process_are_handed_back_at_once(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    running = await start_worker(sync_handlers.progress, child_processes=1, grace=10.0)
    first = await orchestrator.give("sync.progress", str(tmp_path / "gate"))
    await eventually(lambda: bool(orchestrator.heartbeats))
    second = orchestrator.overload("sync.progress", str(tmp_path / "gate"))
    await eventually(lambda: running.worker.status.busy == 2)
    running.stop.set()
    assert (await orchestrator.result_of(second)).WhichOneof("outcome") == "handed_back"
    (tmp_path / "gate").unlink()

    await running.drained()

    assert (await orchestrator.result_of(first)).output == b'"done"'


async def test_a_worker_that_drains_reports_over_a_broken_session(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler, grace=10.0)
    lease = await orchestrator.give("gate", 1)
    await eventually(lambda: gate.started == 1)
    running.stop.set()
    await eventually(lambda: orchestrator.session.draining)
    orchestrator.session.outgoing.put_nowait(ConnectionError("broken"))
    session = await orchestrator.connected(2)
    gate.open.set()
    assert (await orchestrator.result_of(lease)).output == b"1"

    await running.drained()

    assert session.draining
    assert session.granted == []


async def test_results_wait_for_an_orchestrator_that_is_away_until_the_grace_is_over(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    running = await start_worker(gate.handler, grace=20.0)
    given = await orchestrator.give("gate", 1)
    await eventually(lambda: gate.started == 1)
    running.stop.set()
    await eventually(lambda: orchestrator.session.draining)
    await orchestrator.stop()
    gate.open.set()
    await asyncio.sleep(REPORT_SECONDS + 0.5)
    assert not running.task.done()
    await orchestrator.start()
    assert (await orchestrator.result_of(given)).output == b"1"

    await running.drained()


async def test_sync_and_async_handlers_have_room_of_their_own(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    gate = Gate()
    await start_worker(gate.handler, sync_handlers.double, slots=50, child_processes=3)
    await orchestrator.connected(2)
    await eventually(lambda: all(session.granted for session in orchestrator.sessions))
    rooms = {
        tuple(session.hello.task_types): (session.hello.slots, session.granted)
        for session in orchestrator.sessions
        if session.hello
    }
    assert rooms == {("gate",): (50, [50]), ("sync.double",): (3, [3])}
    boots = {session.hello.boot_id for session in orchestrator.sessions if session.hello}

    assert len(boots) == 2
