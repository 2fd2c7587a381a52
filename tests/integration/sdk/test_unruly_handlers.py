"""Handlers that fork, leave threads behind or write elsewhere: no task gets the answer of another one."""

import json
import os
import signal
from pathlib import Path

import pytest
from testkit import eventually
from workflow_sdk.testing import FakeOrchestrator
from workflowsystem.worker.v1 import task_pb2

from tests.integration.sdk import unruly_handlers as handlers
from tests.integration.sdk.conftest import StartWorker


async def answer_of(
    orchestrator: FakeOrchestrator, task_type: str, input: object = None
) -> task_pb2.TaskResult:
    return await orchestrator.result_of(await orchestrator.give(task_type, input), 30)


@pytest.mark.parametrize(
    ("how", "status"), [("raise", 1), ("exit", 7), ("return", 0), ("in C", 1)], ids=lambda value: str(value)
)
async def test_a_forked_process_answers_nothing_and_ends_with_the_status_of_a_program(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, how: str, status: int
) -> None:
    await start_worker(handlers.fork, handlers.name, child_processes=1)
    forked = await answer_of(orchestrator, "unruly.fork", how)
    assert json.loads(forked.output) == {handlers.NAME: "the handler", "status": status}
    pids = set()

    for number in range(3):
        output = json.loads((await answer_of(orchestrator, "unruly.name", number)).output)
        assert output[handlers.NAME] == number
        pids.add(output["pid"])

    assert len(pids) == 1  # the process itself is as good as before


async def test_heartbeats_of_a_forked_process_are_dropped(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.fork_heartbeat, handlers.name, child_processes=1)

    assert (await answer_of(orchestrator, "unruly.fork_heartbeat")).output == b'"the handler"'
    assert json.loads((await answer_of(orchestrator, "unruly.name", 5)).output)[handlers.NAME] == 5


async def test_a_forked_process_can_be_ended_with_sigterm(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.fork_term, child_processes=1)
    assert json.loads((await answer_of(orchestrator, "unruly.fork_term")).output) == -signal.SIGTERM


@pytest.mark.parametrize("task_type", ["unruly.survivor", "unruly.background"])
async def test_a_process_that_dies_is_noticed_though_what_it_started_lives_on(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path, task_type: str
) -> None:
    folder = tmp_path / "alive"
    folder.mkdir()
    await start_worker(handlers.survivor, handlers.background, handlers.name, child_processes=1)
    failure = (await answer_of(orchestrator, task_type, str(folder))).failure
    assert failure.type == "ProcessDied"
    assert "SIGKILL" in failure.message
    assert json.loads((await answer_of(orchestrator, "unruly.name", 1)).output)[handlers.NAME] == 1
    for file in folder.iterdir():
        os.kill(int(file.read_text()), signal.SIGKILL)
        file.unlink()

    folder.rmdir()


async def test_programs_that_a_handler_starts_get_none_of_the_workers_files(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.descriptors, child_processes=1)
    shown = json.loads((await answer_of(orchestrator, "unruly.descriptors")).output)

    assert len(shown.strip("[]").split(",")) == 1  # the listing itself opens one


async def test_heartbeats_of_threads_and_a_large_output_do_not_mix(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.beats, handlers.name, child_processes=1)
    for _ in range(3):
        result = await answer_of(orchestrator, "unruly.beats", 900_000)
        assert result.output == b'"' + b"o" * 900_000 + b'"'

    assert json.loads((await answer_of(orchestrator, "unruly.name", 2)).output)[handlers.NAME] == 2


async def test_heartbeats_of_a_task_that_has_ended_are_not_shown_as_those_of_the_next(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(handlers.leftover, handlers.following, child_processes=1)
    await answer_of(orchestrator, "unruly.leftover", str(tmp_path))
    lease = await orchestrator.give("unruly.next", str(tmp_path), heartbeat_timeout=0.3)

    def shown() -> list[bytes]:
        beats = [beat for message in orchestrator.heartbeats for beat in message.heartbeats]
        return [beat.progress for beat in beats if beat.task == lease.task and beat.progress]

    await eventually(lambda: len(shown()) >= 5, 15)
    (tmp_path / "enough").touch()
    assert (await orchestrator.result_of(lease)).output == b'"following"'
    assert set(shown()) == {b'{"of":"this task"}'}


@pytest.mark.parametrize(
    "what",
    [
        "garbage",
        "another process",
        "another run",
        "huge",
        "no JSON",
        "another header",
        "unknown kind",
        "wrong kind",
    ],
)
async def test_what_is_not_a_frame_ends_the_attempt_and_the_process(
    orchestrator: FakeOrchestrator,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    await start_worker(handlers.write_to_the_channel, handlers.name, child_processes=1)
    failure = (await answer_of(orchestrator, "unruly.write", what)).failure

    assert failure.type == "ProcessDied"
    assert "sent what the worker can't read" in failure.message
    assert "must not write to files and sockets" in failure.message
    assert "secret" not in failure.message + failure.details + caplog.text
    assert json.loads((await answer_of(orchestrator, "unruly.name", 3)).output)[handlers.NAME] == 3


async def test_an_exception_of_a_signal_handler_tears_no_frame(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.alarm, child_processes=1)
    result = await answer_of(orchestrator, "unruly.alarm")

    assert result.output == b'"survived"', result.failure.message


@pytest.mark.parametrize("which", list(handlers.ERRORS))
async def test_whatever_a_handler_raises_is_its_failure_and_the_process_stays(
    orchestrator: FakeOrchestrator, start_worker: StartWorker, which: str
) -> None:
    await start_worker(handlers.raise_it, handlers.name, child_processes=1)
    before = json.loads((await answer_of(orchestrator, "unruly.name")).output)["pid"]
    failure = (await answer_of(orchestrator, "unruly.raise", which)).failure

    assert failure.type == which
    assert failure.non_retryable == (which == "DeclinedError")
    assert json.loads((await answer_of(orchestrator, "unruly.name")).output)["pid"] == before


async def test_an_output_that_raises_while_it_is_encoded_is_a_failure(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    await start_worker(handlers.evil_output, handlers.name, child_processes=1)

    assert (await answer_of(orchestrator, "unruly.output")).failure.type == "SystemExit"
    assert json.loads((await answer_of(orchestrator, "unruly.name", 1)).output)[handlers.NAME] == 1


async def test_no_lease_is_left_in_the_worker_after_any_of_it(
    orchestrator: FakeOrchestrator, start_worker: StartWorker
) -> None:
    running = await start_worker(handlers.raise_it, handlers.fork, child_processes=1)
    await answer_of(orchestrator, "unruly.raise", "EvilError")
    await answer_of(orchestrator, "unruly.fork", "raise")
    await eventually(lambda: running.worker.status.busy == 0)
