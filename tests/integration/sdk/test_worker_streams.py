"""A stream may end in every way that gRPC knows, while the worker reads and writes: the worker goes on."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from testkit import eventually
from workflow_sdk import Worker, task
from workflow_sdk.calls import MAX_MESSAGE_BYTES
from workflow_sdk.testing import FakeOrchestrator, FakeSession
from workflowsystem.worker.v1 import worker_service_pb2 as messages

from tests.integration.orchestrator.tcp_proxy import proxy_to
from tests.integration.sdk.conftest import RunningWorker, StartWorker

ROUNDS = 15


@task("echo")
async def echo(value: Any) -> Any:
    return value


async def _abort(orchestrator: FakeOrchestrator) -> None:
    orchestrator.session.outgoing.put_nowait(RuntimeError("bye"))


async def _end(orchestrator: FakeOrchestrator) -> None:
    orchestrator.session.outgoing.put_nowait(None)


async def _cancel(orchestrator: FakeOrchestrator) -> None:
    orchestrator.session.outgoing.put_nowait(asyncio.CancelledError())


async def _stop(orchestrator: FakeOrchestrator) -> None:
    await orchestrator.stop()
    await orchestrator.start()


async def _send_too_much(orchestrator: FakeOrchestrator) -> None:
    """The client ends the stream: the message is larger than gRPC may receive."""
    orchestrator.session.say(welcome=messages.Welcome(session_id="x" * (MAX_MESSAGE_BYTES + 1)))


async def _fail_to_write(orchestrator: FakeOrchestrator) -> None:
    """gRPC ends the stream: the server cannot make a message of what it should send."""
    orchestrator.session.outgoing.put_nowait(object())  # type: ignore[arg-type]


async def _time_out(orchestrator: FakeOrchestrator) -> None:
    orchestrator.session.outgoing.put_nowait(TimeoutError("deadline"))


ENDINGS = [_abort, _end, _cancel, _stop, _send_too_much, _fail_to_write, _time_out]


@asynccontextmanager
async def under_load(orchestrator: FakeOrchestrator, session: FakeSession) -> AsyncIterator[None]:
    """Inside, the session gets leases as fast as it grants credits, so it always reads and writes."""

    async def feed() -> None:
        while session.open:
            if session.credits > 0:
                leases = [orchestrator.lease("echo", 1) for _ in range(session.credits)]
                session.credits = 0
                session.say(leases=messages.Leases(leases=leases))
            await asyncio.sleep(0)

    feeding = asyncio.create_task(feed())
    try:
        before = len(orchestrator.results)
        await eventually(lambda: len(orchestrator.results) > before + 200)
        yield
    finally:
        session.open = False
        feeding.cancel()


@pytest.mark.parametrize("break_", ENDINGS)
async def test_a_worker_under_load_outlives_a_stream_that_ends(
    orchestrator: FakeOrchestrator,
    start_worker: StartWorker,
    break_: Callable[[FakeOrchestrator], Awaitable[None]],
) -> None:
    running = await start_worker(echo)
    for number in range(1, ROUNDS + 1):
        session = await orchestrator.connected(number)
        async with under_load(orchestrator, session):
            await break_(orchestrator)
        await eventually(lambda n=number: running.task.done() or len(orchestrator.sessions) > n)
        assert not running.task.done(), running.task.exception()


@pytest.mark.parametrize("break_", ENDINGS)
async def test_two_hundred_tasks_in_flight_outlive_a_stream_that_ends(
    orchestrator: FakeOrchestrator,
    start_worker: StartWorker,
    break_: Callable[[FakeOrchestrator], Awaitable[None]],
) -> None:
    """Half of them end while there is no stream, the others after it; each is reported."""
    go = [asyncio.Event(), asyncio.Event()]

    @task("hold")
    async def hold(number: Any) -> Any:
        await go[number % 2].wait()
        return number

    running = await start_worker(hold, slots=200)
    await orchestrator.connected()
    leases = [orchestrator.lease("hold", number) for number in range(200)]
    await orchestrator.give_leases(leases)
    await eventually(lambda: running.worker.status.busy == 200, 30)
    go[0].set()  # the writer and the reader are busy when the stream ends
    await break_(orchestrator)
    await eventually(lambda: len(orchestrator.sessions) > 1 or running.task.done(), 30)
    go[1].set()
    keys = {lease.task.SerializeToString() for lease in leases}
    await eventually(lambda: {r.task.SerializeToString() for r in orchestrator.results} == keys, 30)
    assert not running.task.done()


async def test_a_worker_under_load_outlives_a_connection_that_breaks(
    orchestrator: FakeOrchestrator,
) -> None:
    async with proxy_to(lambda: asyncio.open_connection("127.0.0.1", orchestrator.port)) as proxy:
        stop = asyncio.Event()
        worker = asyncio.create_task(Worker(f"127.0.0.1:{proxy.port}", tasks=[echo], grace=0.0).run(stop))
        for number in range(1, 6):
            session = await orchestrator.connected(number)
            async with under_load(orchestrator, session):
                await proxy.cut()
            await proxy.mend()
        await orchestrator.connected(6)
        assert not worker.done()
        stop.set()

        await worker


async def test_a_worker_outlives_orchestrators_that_are_killed(start_worker: StartWorker) -> None:
    """Separate processes: the kernel resets the connection in the middle of whatever was written."""
    async with busy_orchestrator() as (first, port):
        running = await start_worker(echo, address=f"127.0.0.1:{port}")
        await _kill_under_load(running, first)
    for _ in range(3):
        async with busy_orchestrator(port) as (next_one, _):
            await _kill_under_load(running, next_one)

    assert not running.task.done()


async def _kill_under_load(running: RunningWorker, process: asyncio.subprocess.Process) -> None:
    status = running.worker
    before = status.status.processed
    await eventually(lambda: status.status.processed > before + 200, 15)
    process.kill()
    await process.wait()
    await eventually(lambda: not status.status.connected)


@asynccontextmanager
async def busy_orchestrator(port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A process with an orchestrator that always has leases for `echo`, and its port."""
    module = "tests.integration.sdk.busy_orchestrator"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield process, int(await process.stdout.readline())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_hundred_failures_with_long_texts_arrive_in_messages_that_grpc_lets_through(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """Together the results have 6 MB; gRPC lets 4 MiB through."""
    go = asyncio.Event()

    @task("fail_together")
    async def fail_together(_: Any) -> None:
        await go.wait()
        raise ValueError("x" * 40_000)

    running = await start_worker(fail_together)
    await orchestrator.connected()
    await orchestrator.give_leases([orchestrator.lease("fail_together") for _ in range(100)])
    await eventually(lambda: running.worker.status.busy == 100)
    go.set()
    await eventually(lambda: len(orchestrator.results) == 100, 30)
    assert len(orchestrator.sessions) == 1
    assert len(orchestrator.result_batches) >= 3


async def test_progress_of_many_handlers_arrives_in_messages_that_grpc_lets_through(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    """1,200 heartbeats with 4 KB of progress each have 4.8 MB."""

    @task("lively")
    async def lively(_: Any, context: Any) -> None:
        context.heartbeat("x" * 4_000)
        await asyncio.Event().wait()

    await start_worker(lively, slots=1_200)
    await orchestrator.connected()
    await orchestrator.give_leases([orchestrator.lease("lively") for _ in range(1_200)])

    def told() -> int:
        return sum(1 for m in orchestrator.heartbeats for h in m.heartbeats if h.progress)

    await eventually(lambda: told() >= 1_200, 30)
    assert max(m.ByteSize() for m in orchestrator.heartbeats) <= 2 * 1024 * 1024 + 64
    assert len(orchestrator.sessions) == 1
