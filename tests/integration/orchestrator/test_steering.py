"""Pause, resume and cancel over gRPC, and who may see whose executions."""

import asyncio
from typing import Any

import grpc
from workflowsystem.execution.v1 import execution_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    STRONG,
    Service,
    refusal,
    status_of,
    task_of,
    task_status,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
NOWHERE = "01900000-0000-7000-8000-000000000000"
CHAIN = [ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]}]


async def finished(service: Service, worker: ScriptedWorker, workflow_id: str = "flow") -> str:
    started = await service.start(workflow_id=workflow_id)
    await worker.succeed(await worker.lease())
    await service.becomes(started.execution_id, "COMPLETED")
    return str(started.execution_id)


async def test_a_pending_execution_is_paused_and_resumed_to_pending(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    id_ = (await service.start()).execution_id
    paused = await service.pause(id_, reason="lunch")
    assert status_of(paused) == "PAUSED"
    assert (paused.pause.reason, paused.pause.mode) == ("lunch", execution_pb2.PAUSE_MODE_DRAIN)
    assert paused.pause.clock_policy == execution_pb2.CLOCK_POLICY_FREEZE
    assert paused.pause.HasField("quiesced_time")
    async with ScriptedWorker(service.workers, hello(), credits=5) as worker:
        again = await service.pause(id_, reason="dinner")
        assert (status_of(again), again.pause.reason) == ("PAUSED", "lunch")
        other = await service.start()
        assert (await worker.lease()).task.execution_id == other.execution_id  # its hint was popped before
        resumed = await service.resume(id_)
        assert status_of(resumed) in ("PENDING", "RUNNING")
        assert not resumed.HasField("pause")
        await worker.succeed(await worker.lease())
        done = await service.becomes(id_, "COMPLETED")

    types = await service.event_types(id_)

    assert types[1:4] == ["EXECUTION_PAUSED", "EXECUTION_QUIESCED", "EXECUTION_RESUMED"]
    assert done.state_version > paused.state_version


async def test_a_pause_keeps_who_the_caller_said_it_is(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    for sent, kept in ((None, ""), ("ann", "ann"), ("x" * 1_000, "x" * 256)):
        request = pb.PauseExecutionRequest(execution_id=(await service.start()).execution_id)
        metadata = None if sent is None else (("x-actor", sent),)
        assert (await service.executions.PauseExecution(request, metadata=metadata)).pause.actor == kept
        assert (await service.get(request.execution_id)).pause.actor == kept


async def test_from_the_reply_to_a_pause_on_nothing_starts_and_what_runs_may_finish(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(*CHAIN)
    async with ScriptedWorker(service.workers, hello(), credits=5) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        paused = await service.pause(id_)
        assert not paused.pause.HasField("quiesced_time")
        assert (await worker.heartbeat(lease)).stale == []
        await worker.succeed(lease, output={"n": 1})
        assert await worker.ack(lease) == "RECORDED"
        quiesced = await service.get(id_)
        assert quiesced.pause.HasField("quiesced_time")
        assert task_status(task_of(quiesced, "second")) == "READY"
        other = await service.start()

        theirs = await worker.lease()

        assert theirs.task.execution_id == other.execution_id  # the worker has room all the time
        assert status_of(await service.resume(id_)) == "RUNNING"
        assert (await worker.lease()).task.task_id == "second"


async def test_a_failure_while_paused_takes_effect_at_resume(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1}})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        await service.pause(id_)
        await worker.fail(lease)
        assert await worker.ack(lease) == "RECORDED"
        paused = await service.get(id_)
        assert (status_of(paused), paused.HasField("failure")) == ("PAUSED", False)

        failed = await service.resume(id_)

        assert (status_of(failed), failed.failure.type) == ("FAILED", "Boom")


async def test_an_execution_with_nothing_in_flight_is_cancelled_at_once(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(*CHAIN)
    for prepare in (None, service.pause):
        id_ = (await service.start()).execution_id
        if prepare is not None:
            await prepare(id_)
        cancelled = await service.cancel(id_, reason="enough")
        assert (status_of(cancelled), cancelled.final, cancelled.cancel_reason) == (
            "CANCELLED",
            True,
            "enough",
        )
        again = await service.cancel(id_)
        assert again.state_version == cancelled.state_version
        assert {task_status(task) for task in (await service.get(id_)).tasks} == {"CANCELLED"}


async def test_what_the_status_does_not_allow_is_refused_and_changes_nothing(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish({**ONE_TASK, "input": "${input.no.such}"}, workflow_id="failing")
    async with ScriptedWorker(service.workers, hello(), credits=2) as worker:
        completed = await finished(service, worker)
        cancelling = (await service.start()).execution_id
        await worker.lease()
    await service.cancel(cancelling)
    failed = (await service.start(workflow_id="failing")).execution_id
    cancelled = (await service.start()).execution_id
    await service.cancel(cancelled)
    before = await service.everything()
    for call, id_, method, status in (
        (service.pause, completed, "PauseExecution", "COMPLETED"),
        (service.resume, completed, "ResumeExecution", "COMPLETED"),
        (service.cancel, completed, "CancelExecution", "COMPLETED"),
        (service.cancel, failed, "CancelExecution", "FAILED"),
        (service.pause, cancelled, "PauseExecution", "CANCELLED"),
        (service.pause, cancelling, "PauseExecution", "RUNNING"),
    ):
        error = await refusal(call(id_))
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "EXECUTION_STATUS_CONFLICT",
        )
        assert error.metadata == {"status": status, "method": method}
        assert "so " in error.message  # ... start a new execution, wait for Cancelled
    assert await service.everything() == before
    assert status_of(await service.resume(cancelling)) == "RUNNING"  # not paused: a no-op with OK

    await service.cancel(cancelling, grace_seconds=0)


async def test_what_does_not_exist_is_not_found_by_any_method(service: Service) -> None:
    for call in (service.pause, service.resume, service.cancel, service.get):
        error = await refusal(call(NOWHERE))
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
        assert error.metadata == {"execution_id": NOWHERE}
        assert "ListExecutions" in error.message


async def test_an_id_that_is_none_and_other_bad_fields_are_named(service: Service) -> None:
    for call, field in (
        (service.pause("not-a-uuid"), "execution_id"),
        (service.resume(""), "execution_id"),
        (service.cancel("01900000"), "execution_id"),
        (service.get("x"), "execution_id"),
        (service.cancel(NOWHERE, grace_seconds=601), "grace"),
        (service.cancel(NOWHERE, grace_seconds=-1), "grace"),
        (service.pause(NOWHERE, reason="x" * 1025), "reason"),
        (service.pause(NOWHERE, reason="a\x00"), "reason"),
        (service.pause(NOWHERE, mode=99), "mode"),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert error.violations[0].field == field


async def test_another_namespace_never_sees_an_execution(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, namespace="team-a")
    mine = (await service.start(request_id="once")).execution_id
    theirs = (await service.start(namespace="team-a", request_id="once")).execution_id
    assert mine != theirs
    stub, theirs_only = service.executions, {"execution_id": mine, "namespace": "team-a"}
    before = await service.everything()
    for call in (
        stub.GetExecution(pb.GetExecutionRequest(**theirs_only)),
        stub.GetExecution(pb.GetExecutionRequest(**theirs_only, read_consistency=STRONG)),
        stub.WaitExecution(pb.WaitExecutionRequest(**theirs_only)),
        stub.PauseExecution(pb.PauseExecutionRequest(**theirs_only)),
        stub.ResumeExecution(pb.ResumeExecutionRequest(**theirs_only)),
        stub.CancelExecution(pb.CancelExecutionRequest(**theirs_only)),
        stub.ListExecutionEvents(pb.ListExecutionEventsRequest(**theirs_only)),
        stub.StreamExecutionEvents(pb.StreamExecutionEventsRequest(**theirs_only)).read(),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND")
    assert await service.everything() == before

    for namespace, expected in (("team-a", [theirs]), ("", [mine]), ("team-b", [])):
        request = pb.ListExecutionsRequest(namespace=namespace, read_consistency=STRONG)
        listed = await stub.ListExecutions(request)
        assert [execution.execution_id for execution in listed.executions] == expected


async def test_a_mutations_token_lets_a_read_see_it(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    started = await service.start()
    for mutation in (service.pause, service.resume, service.cancel):
        changed = await mutation(started.execution_id)
        consistency = {"consistency_token": changed.consistency_token}
        request = pb.GetExecutionRequest(execution_id=started.execution_id, read_consistency=consistency)
        assert (await service.executions.GetExecution(request)).state_version == changed.state_version


async def test_a_wait_and_a_stream_end_with_the_execution(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(*CHAIN, output="done")

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        waiting = asyncio.create_task(_waited(service, id_))
        stream = service.executions.StreamExecutionEvents(pb.StreamExecutionEventsRequest(execution_id=id_))
        for _ in range(2):
            await worker.succeed(await worker.lease())
        assert (await asyncio.wait_for(waiting, 5)).output.string_value == "done"
        seen = [event async for message in stream for event in message.events]

    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert [event.final for event in seen] == [False] * (len(seen) - 1) + [True]
    assert [event.sequence for event in await service.events(id_)] == [event.sequence for event in seen]


async def _waited(service: Service, execution_id: str) -> Any:
    return await service.executions.WaitExecution(pb.WaitExecutionRequest(execution_id=execution_id))
