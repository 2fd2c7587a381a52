"""The secret of a claim: whoever does not have it can neither report nor renew, and nothing shows it."""

from typing import Any

import pytest
from testkit import eventually
from workflowsystem.worker.v1 import task_pb2
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, attempt_statuses, task_of
from tests.integration.orchestrator.test_outages import lost_answers

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
TOKEN_BYTES = 16


def with_token(lease: Any, token: bytes) -> task_pb2.Lease:
    """The lease as somebody knows it who has guessed everything but the token."""
    forged = task_pb2.Lease()
    forged.CopyFrom(lease)
    forged.task.token = token
    return forged


async def test_every_claim_has_a_token_of_its_own(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    async with ScriptedWorker(service.workers, hello(), credits=20) as worker:
        for _ in range(10):
            await service.start()
        tokens = {lease.task.token for lease in await worker.leases(10)}

    assert {len(token) for token in tokens} == {TOKEN_BYTES}
    assert len(tokens) == 10


@pytest.mark.parametrize("token", [b"", b"x" * TOKEN_BYTES], ids=["no token", "another token"])
async def test_a_result_or_a_heartbeat_without_the_token_is_stale_and_changes_nothing(
    service: Service, catalog: FakeCatalog, token: bytes
) -> None:
    catalog.publish(ONE_TASK)
    async with (
        ScriptedWorker(service.workers, hello(), credits=1) as worker,
        ScriptedWorker(service.workers, hello("intruder")) as intruder,
    ):
        await service.start()
        lease = await worker.lease()
        forged = with_token(lease, token)
        before = await service.everything()
        assert list((await intruder.heartbeat(forged)).stale) == [forged.task]
        await intruder.succeed(forged, output="forged")
        assert await intruder.ack(forged) == "STALE"
        beats = pb.HeartbeatTasksRequest(heartbeats=[{"task": forged.task}])
        assert list((await service.workers.HeartbeatTasks(beats)).stale) == [forged.task]
        results = pb.ReportTasksRequest(results=[{"task": forged.task, "output": b"1"}])
        (ack,) = (await service.workers.ReportTasks(results)).acks
        assert ack.status == task_pb2.RESULT_STATUS_STALE
        assert await service.everything() == before

        await worker.succeed(lease)

        assert await worker.ack(lease) == "RECORDED"


async def test_a_worker_of_another_namespace_is_refused_even_with_the_token(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, namespace="team-a")
    async with (
        ScriptedWorker(service.workers, hello(namespace="team-a"), credits=1) as worker,
        ScriptedWorker(service.workers, hello("intruder", namespace="team-b")) as intruder,
    ):
        await service.start(namespace="team-a")
        lease = await worker.lease()
        before = await service.everything()
        assert list((await intruder.heartbeat(lease)).stale) == [lease.task]
        await intruder.succeed(lease, output="forged")

        assert await intruder.ack(lease) == "STALE"
        assert await service.everything() == before


async def test_no_read_and_no_log_shows_a_token(
    service: Service, catalog: FakeCatalog, capfd: pytest.CaptureFixture[str]
) -> None:
    catalog.publish({**ONE_TASK, "retry_policy": {"maximum_attempts": 1}})
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        running = await service.get(id_)
        await worker.fail(lease)
        replies = [running, await service.becomes(id_, "FAILED"), *await service.events(id_)]
    token = lease.task.token
    assert all(token not in reply.SerializeToString() for reply in replies)

    logged = "".join(capfd.readouterr())

    assert "execution_failed" in logged
    assert token.hex() not in logged
    assert repr(token)[2:-1] not in logged


async def test_a_claim_whose_answer_was_lost_gives_its_lease_again_at_once(
    service: Service, catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit happened, and nobody knows: the claim is repeated with its token."""
    catalog.publish(ONE_TASK)
    id_ = (await service.start()).execution_id
    await eventually(lambda: _waiting(service))
    async with (
        lost_answers(service, monkeypatch, 1),
        ScriptedWorker(service.workers, hello(), credits=1) as worker,
    ):
        lease = await worker.lease()
        assert lease.attempt == 1
        await worker.succeed(lease)
        await service.becomes(id_, "COMPLETED")

    done = await service.get(id_)

    assert attempt_statuses(task_of(done, "only")) == ["SUCCEEDED"]
    assert (await service.event_types(id_)).count("TASK_STARTED") == 1


async def _waiting(service: Service) -> None:
    assert await service.queue_length() == 1
