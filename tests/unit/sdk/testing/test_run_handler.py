"""`run_handler`: what only a test sees of a handler, and what it can ask for."""

import asyncio
import signal
import threading
import time
from typing import Any

import pytest
from workflow_sdk import PayloadError, TaskCancelled, TaskContext, TaskDefinitionError, task
from workflow_sdk.testing import run_async_handler, run_handler

GRACE = 0.05


@task("orders.count")
def count(numbers: list[int], context: TaskContext) -> int:
    for number in numbers:
        context.heartbeat({"at": number})
    context.heartbeat()
    return sum(numbers)


@task("orders.count_async")
async def count_async(numbers: list[int], context: TaskContext) -> int:
    for number in numbers:
        context.heartbeat({"at": number})
        await asyncio.sleep(0)
    return sum(numbers)


@task("orders.wait")
def wait(_: Any) -> None:
    time.sleep(30)


@task("orders.slow_clean_up")
def slow_clean_up(_: Any) -> None:
    try:
        time.sleep(30)
    except TaskCancelled:
        time.sleep(0.2)
        raise


@task("orders.deaf")
async def deaf(_: Any) -> None:
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        try:
            await asyncio.sleep(ends - time.monotonic())
        except asyncio.CancelledError:
            continue


@task("orders.keys")
def keys(value: Any) -> Any:
    return value


@task("orders.clean_up")
def clean_up(_: Any, context: TaskContext) -> None:
    context.heartbeat("begun")
    try:
        context.heartbeat("never recorded as finished")
    except TaskCancelled:
        context.heartbeat("cleaned up")
        raise


def not_a_handler(_: Any) -> None:
    return None


def test_progress_and_heartbeats_are_recorded() -> None:
    result = run_handler(count, [1, 2])

    assert (result.outcome, result.output) == ("succeeded", 3)
    assert (result.heartbeats, result.progress) == (3, ({"at": 1}, {"at": 2}))


@pytest.mark.parametrize("handler", [count, count_async])
def test_a_handler_can_be_cancelled_at_a_heartbeat(handler: Any) -> None:
    result = run_handler(handler, [1, 2, 3, 4], cancel_at_heartbeat=2)

    assert result.outcome == "cancelled"
    assert result.progress == ({"at": 1}, {"at": 2})


def test_a_cancelled_handler_can_clean_up_with_heartbeats() -> None:
    result = run_handler(clean_up, cancel_at_heartbeat=2)

    assert result.outcome == "cancelled"
    assert result.progress[-1] == "cleaned up"


def test_input_and_output_pass_through_json() -> None:
    given = {"pair": (1, 2)}

    result = run_handler(keys, given)

    assert result.output == {"pair": [1, 2]}


def test_an_input_that_no_task_can_get_is_refused() -> None:
    with pytest.raises(PayloadError, match="input"):
        run_handler(keys, {"when": object()})


def test_a_function_without_the_decorator_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match="not_a_handler"):
        run_handler(not_a_handler)


def test_an_output_may_be_as_large_as_the_test_says() -> None:
    assert run_handler(keys, "x" * 20, max_output_bytes=22).outcome == "succeeded"
    too_large = run_handler(keys, "x" * 20, max_output_bytes=21)

    assert too_large.failure is not None
    assert too_large.failure.type == "PayloadTooLarge"


def test_an_async_handler_that_ignores_its_cancel_is_given_up() -> None:
    result = run_handler(deaf, cancel_after=0.01, grace=GRACE)

    assert result.outcome == "cancelled"
    assert result.ignored_stop


def test_the_signal_handler_of_the_test_is_there_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    assert run_handler(wait, start_to_close=0.01).outcome == "timed_out"

    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_stop_is_the_one_that_counts() -> None:
    assert run_handler(wait, cancel_after=0.01, start_to_close=20).outcome == "cancelled"
    assert run_handler(wait, cancel_after=20, start_to_close=0.01).outcome == "timed_out"


def test_a_second_stop_changes_nothing() -> None:
    assert run_handler(slow_clean_up, cancel_after=0.01, start_to_close=0.1).outcome == "cancelled"
    assert run_handler(slow_clean_up, cancel_after=0.1, start_to_close=0.01).outcome == "timed_out"


def test_seconds_for_a_sync_handler_need_the_main_thread() -> None:
    raised: list[BaseException] = []

    def in_a_thread() -> None:
        try:
            run_handler(wait, cancel_after=0.01)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join(10)

    assert "main thread" in str(raised[0])


async def test_an_async_handler_runs_on_the_loop_of_an_async_test() -> None:
    result = await run_async_handler(count_async, [1, 2], attempt=2)

    assert (result.outcome, result.output, result.heartbeats) == ("succeeded", 3, 2)


async def test_inside_a_coroutine_the_other_function_is_named() -> None:
    with pytest.raises(RuntimeError, match="await run_async_handler"):
        run_handler(count_async, [])
    with pytest.raises(TypeError, match="call run_handler"):
        await run_async_handler(count, [])
