"""The rules of the session that need a situation. Each function creates one, and checks what must follow.

A broken rule raises BrokenRuleError with its sentence. The tested program has three handlers:

- `conformance.echo` returns its input;
- `conformance.fail` fails with the type and the message of its input, `{"type": ..., "message": ...}`;
- `conformance.wait` runs until it is cancelled, and sends a heartbeat at least every half second.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import grpc
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tools.conformance.played import BrokenRuleError, PlayedOrchestrator
from tools.conformance.program import Program

LEASE_TTL_SECONDS = 3.0
ECHO, FAIL, WAIT = "conformance.echo", "conformance.fail", "conformance.wait"
PAYLOADS: tuple[Any, ...] = (
    *(None, True, 0, -1.5, 2**53 - 1, "", "æøå 😀"),
    *([], {}, {"a": [{"b": None}]}, "x" * 900_000),
)

Rule = Callable[[PlayedOrchestrator, Program], Awaitable[None]]


async def hello_names_the_handlers(played: PlayedOrchestrator, program: Program) -> None:
    """Hello names the worker, its process, its slots and every task type that it has."""
    stream = await played.greeting()
    assert stream.hello is not None
    missing = {ECHO, FAIL, WAIT} - set(stream.hello.task_types)
    if missing:
        raise BrokenRuleError(f"Hello names every task type: {', '.join(sorted(missing))} missing in it")


async def outputs_come_back(played: PlayedOrchestrator, program: Program) -> None:
    """The output of a task is JSON, equal to what the handler returned, for every kind of value."""
    await played.greeting()
    for value in PAYLOADS:
        rule = "a task that succeeds has a result with its output"
        result = await played.result_of(played.lease(ECHO, value), rule)
        output = json.loads(result.output) if result.WhichOneof("outcome") == "output" else None
        if result.WhichOneof("outcome") != "output" or output != value:
            raise BrokenRuleError(
                f"an echo returns its input: {str(value)[:60]!r} came back as {str(result)[:200]}"
            )


async def failures_have_a_type(played: PlayedOrchestrator, program: Program) -> None:
    """A failure has the type and the message of the handler, and the worker goes on."""
    await played.greeting()
    lease = played.lease(FAIL, {"type": "CardDeclined", "message": "no money"})
    result = await played.result_of(lease, "a task that fails has a result with its failure")
    found = (result.failure.type, result.failure.message)
    if found != ("CardDeclined", "no money"):
        raise BrokenRuleError(f"a failure has the handler's type and message: it has {found}")
    await played.result_of(played.lease(ECHO, 1), "a worker goes on after a failure")


async def every_slot_is_used(played: PlayedOrchestrator, program: Program) -> None:
    """Each result gives its credit back: a worker of n slots runs more than n tasks without new credits."""
    stream = await played.greeting()
    assert stream.hello is not None
    for number in range(2 * stream.hello.slots + 1):
        rule = "a worker asks for as many tasks as it has slots, again after each result"
        await played.until(lambda: stream.credits > 0, 10, rule)
        await played.result_of(played.lease(ECHO, number), "every leased task has a result")


async def leases_are_renewed(played: PlayedOrchestrator, program: Program) -> None:
    """A worker names each of its tasks at least every third of the lease TTL."""
    await played.greeting()
    lease = played.lease(WAIT)
    await asyncio.sleep(2 * LEASE_TTL_SECONDS)
    times = [time for time, _, each in played.heartbeats if each.task == lease.task]
    if len(times) < 3:
        raise BrokenRuleError(
            f"a worker renews each lease every third of its TTL ({LEASE_TTL_SECONDS / 3:g} s): in "
            f"{2 * LEASE_TTL_SECONDS:g} s it named the task {len(times)} times"
        )


async def handlers_show_that_they_live(played: PlayedOrchestrator, program: Program) -> None:
    """A handler's sign of life comes before its heartbeat timeout, also if that is shorter than the TTL."""
    await played.greeting()
    lease = played.lease(WAIT, heartbeat_timeout=1.5)
    await asyncio.sleep(4.0)
    signs = [time for time, _, each in played.heartbeats if each.task == lease.task and each.handler_alive]
    gaps = [later - earlier for earlier, later in pairwise(signs)]
    if len(signs) < 2 or max(gaps) > 1.5:
        raise BrokenRuleError(
            "signs of life are sent every third of the smaller of lease TTL and heartbeat timeout (1.5 s): "
            f"{len(signs)} came in 4 s, the longest pause was {max(gaps, default=4.0):.1f} s"
        )


async def a_cancelled_task_stops(played: PlayedOrchestrator, program: Program) -> None:
    """After CANCEL_REQUESTED the handler stops within the grace, and its result is `cancelled`."""
    await played.greeting()
    lease = played.lease(WAIT)
    await played.until(lambda: bool(played.heartbeats), 5, "a worker renews the leases of its tasks")
    played.cancel(lease, task_pb2.CANCEL_REASON_CANCEL_REQUESTED)
    result = await played.result_of(lease, "a cancelled task stops within its grace (5 s)", 8)
    if result.WhichOneof("outcome") != "cancelled":
        raise BrokenRuleError(f"a task that stops on a cancel reports `cancelled`: it reported {result}")


async def a_revoked_task_stops_silently(played: PlayedOrchestrator, program: Program) -> None:
    """After REVOKED the handler stops, the worker reports nothing, and grants the credit again."""
    await _stops_silently(
        played, "revoked", lambda lease: played.cancel(lease, task_pb2.CANCEL_REASON_REVOKED)
    )


async def a_stale_task_stops_silently(played: PlayedOrchestrator, program: Program) -> None:
    """If the answer to a heartbeat names a lease as stale, the worker treats it as revoked."""
    await _stops_silently(played, "stale", lambda lease: played.stale.add(lease.task.task_id))


async def _stops_silently(
    played: PlayedOrchestrator, word: str, stop: Callable[[task_pb2.Lease], None]
) -> None:
    stream = await played.greeting()
    lease = played.lease(WAIT)
    await played.until(lambda: bool(played.heartbeats), 5, "a worker renews the leases of its tasks")
    before = stream.credits
    stop(lease)
    await played.until(
        lambda: stream.credits > before, 8, f"a worker grants a credit anew when a {word} task has stopped"
    )
    if played.results_of(lease):
        raise BrokenRuleError(f"nothing is reported of a {word} task: {played.results_of(lease)[0]}")
    named = sum(each.task == lease.task for _, _, each in played.heartbeats)
    await asyncio.sleep(LEASE_TTL_SECONDS)
    if sum(each.task == lease.task for _, _, each in played.heartbeats) > named + 1:
        raise BrokenRuleError(f"a worker does not renew the lease of a {word} task that has stopped")


async def a_broken_stream_is_opened_again(played: PlayedOrchestrator, program: Program) -> None:
    """After a break the worker returns as the same process, grants its free slots, and renews its leases."""
    stream = await played.greeting()
    assert stream.hello is not None
    lease = played.lease(WAIT)
    await played.until(lambda: bool(played.heartbeats), 5, "a worker renews the leases of its tasks")
    stream.end(grpc.StatusCode.UNAVAILABLE)
    again = await played.greeting(2)
    rule = "on a new stream a worker names its tasks in hand before two thirds of the TTL are over"
    await played.until(
        lambda: any(on is again and each.task == lease.task for _, on, each in played.heartbeats),
        LEASE_TTL_SECONDS * 2 / 3,
        rule,
    )
    free = stream.hello.slots - 1
    if again.credits != free:
        raise BrokenRuleError(
            f"on a new stream a worker grants its slots less the tasks in hand: {free}, not {again.credits}"
        )
    await played.result_of(played.lease(ECHO, 1), "a new stream takes leases")


async def results_without_an_answer_are_sent_again(played: PlayedOrchestrator, program: Program) -> None:
    """A result that was not acknowledged when the stream broke is sent again on the next one."""
    stream = await played.greeting()
    played.acknowledges = False
    lease = played.lease(ECHO, "again")
    await played.result_of(lease, "a task that succeeds has a result")
    stream.end(grpc.StatusCode.UNAVAILABLE)
    played.acknowledges = True
    rule = "a result without an answer is sent again on the next stream"
    await played.until(lambda: len(played.results_of(lease)) > 1, 20, rule)
    first, *others = played.results_of(lease)
    if any(other != first for other in others):
        raise BrokenRuleError("a repeated result is the same as the first one")


async def messages_keep_their_size(played: PlayedOrchestrator, program: Program) -> None:
    """Large results that are sent again together travel in messages that the orchestrator can receive."""
    stream = await played.greeting()
    played.acknowledges = False
    leases = [played.lease(ECHO, "x" * 900_000) for _ in range(min(stream.credits, 3))]
    for lease in leases:
        await played.result_of(lease, "a task that succeeds has a result")
    stream.end(grpc.StatusCode.UNAVAILABLE)
    played.acknowledges = True
    rule = "every result without an answer is sent again on the next stream"
    await played.until(lambda: all(len(played.results_of(lease)) > 1 for lease in leases), 20, rule)


async def a_worker_without_tasks_sends_heartbeats(played: PlayedOrchestrator, program: Program) -> None:
    """Advice: a worker sends heartbeats every third of the TTL also if it has no task."""
    stream = await played.greeting()
    rule = "a worker should send heartbeats without tasks, every third of the TTL and every 20 s at least"
    await played.until(lambda: len(stream.heartbeat_times) >= 3, 3 * LEASE_TTL_SECONDS, rule)


async def an_unknown_answer_drops_the_result(played: PlayedOrchestrator, program: Program) -> None:
    """If the worker does not know the status of a result, it drops the result as if stale, and goes on."""
    stream = await played.greeting()
    played.ack_status = 99
    lease = played.lease(ECHO, 1)
    await played.result_of(lease, "a task that succeeds has a result")
    played.ack_status = task_pb2.RESULT_STATUS_RECORDED
    await played.result_of(played.lease(ECHO, 2), "a worker goes on after an answer that it does not know")
    if len(played.results_of(lease)) > 1 or not stream.is_open:
        raise BrokenRuleError("a worker drops a result whose status it does not know, and keeps its stream")


async def drain_moves_the_worker(played: PlayedOrchestrator, program: Program) -> None:
    """After Drain the worker opens another stream, and loses none of its tasks."""
    stream = await played.greeting()
    lease = played.lease(WAIT)
    await played.until(lambda: bool(played.heartbeats), 5, "a worker renews the leases of its tasks")
    stream.say(drain=pb.Drain())
    again = await played.greeting(2)
    await played.until(
        lambda: any(on is again and each.task == lease.task for _, on, each in played.heartbeats),
        LEASE_TTL_SECONDS,
        "after Drain a worker takes its tasks along to the next stream",
    )
    if played.results_of(lease):
        raise BrokenRuleError("a task survives Drain: the worker ended it instead")


async def a_stop_ends_in_order(played: PlayedOrchestrator, program: Program) -> None:
    """After SIGTERM: Draining, a result for every task in hand, half-close, exit code 0."""
    stream = await played.greeting()
    lease = played.lease(WAIT)
    await played.until(lambda: bool(played.heartbeats), 5, "a worker renews the leases of its tasks")
    program.ask_to_stop()
    await played.until(lambda: stream.is_draining, 10, "a worker that stops says Draining")
    await played.result_of(lease, "a worker that stops hands back what it cannot finish", 20)
    await played.until(lambda: stream.is_half_closed, 10, "a worker that stops closes its side of the stream")
    if (code := await program.exit_code()) != 0:
        raise BrokenRuleError(f"a worker that was asked to stop exits with 0: it exited with {code}")


RULES: tuple[Rule, ...] = (
    hello_names_the_handlers,
    outputs_come_back,
    failures_have_a_type,
    every_slot_is_used,
    leases_are_renewed,
    handlers_show_that_they_live,
    a_cancelled_task_stops,
    a_revoked_task_stops_silently,
    a_stale_task_stops_silently,
    a_broken_stream_is_opened_again,
    results_without_an_answer_are_sent_again,
    messages_keep_their_size,
    a_worker_without_tasks_sends_heartbeats,
    an_unknown_answer_drops_the_result,
    drain_moves_the_worker,
    a_stop_ends_in_order,
)

ADVICE: frozenset[Rule] = frozenset({a_worker_without_tasks_sends_heartbeats})
"""Rules that a worker should keep: the test reports a break, but does not fail."""
