"""Executions that cannot be decided: they stop nobody, stand still after a while, and can be repaired."""

from typing import Any

import pytest
from execution_orchestrator.application.upkeep import metrics
from google.protobuf.json_format import ParseDict
from testkit import eventually
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.damage import (
    PATIENCE_SECONDS,
    delete_definition,
    forget_plans,
    listed,
    put_back,
    quarantined,
    report_in_vain,
)
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import (
    Service,
    short_pauses,
    status_of,
    task_of,
    task_status,
)

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
CHAIN = [ONE_TASK, {"id": "second", "type": "noop", "needs": ["only"]}]
pytestmark = short_pauses


async def test_an_execution_whose_task_cannot_be_claimed_is_quarantined_and_others_run_on(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, workflow_id="damaged")
    catalog.publish(ONE_TASK)
    before = metrics.quarantined._value.get()
    id_ = (await service.start(workflow_id="damaged")).execution_id
    await delete_definition(service)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        execution = await quarantined(service, id_)
        other = (await service.start()).execution_id
        lease = await worker.lease()
        assert lease.task.execution_id == other
        await worker.succeed(lease)
        await service.becomes(other, "COMPLETED")
    assert status_of(execution) == "PENDING"
    assert execution.quarantine.reason == "version 1 of `damaged` is not in the database"
    assert execution.quarantine.tries == 5
    assert execution.quarantine.HasField("quarantine_time")

    (event,) = (await service.events(id_))[1:]

    assert (event.type, event.reason) == (18, execution.quarantine.reason)
    assert metrics.quarantined._value.get() == before + 1
    assert await listed(service) == await listed(service, workflow_id="damaged") == [id_]
    assert await listed(service, workflow_id="flow") == await listed(service, namespace="team-a") == []
    assert await service.queue_length() == 0


UNFINISHED = ParseDict({"tasks": [{**ONE_TASK, "input": "${input."}]}, WorkflowDefinition())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"\xff\xff no definition", "version 1 of `damaged` cannot be read: DecodeError"),
        (UNFINISHED.SerializeToString(), "input."),
    ],
)
async def test_a_definition_that_cannot_be_read_harms_only_its_own_executions(
    service: Service, catalog: FakeCatalog, damage: bytes, reason: str
) -> None:
    catalog.publish(ONE_TASK, workflow_id="damaged", execution_timeout="3600s")
    catalog.publish(ONE_TASK)
    id_ = (await service.start(workflow_id="damaged")).execution_id
    await service.rows("UPDATE definitions SET definition = $1 WHERE workflow_id = 'damaged'", damage)
    forget_plans(service)

    async with ScriptedWorker(service.workers, hello(), credits=5) as worker:
        assert reason in (await quarantined(service, id_)).quarantine.reason
        await service.start()
        await worker.lease()


async def test_a_result_that_cannot_be_decided_is_not_recorded_and_counts_after_the_release(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(*CHAIN, workflow_id="damaged")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        lease = await worker.lease()
        definition = await delete_definition(service)

        async def reported_again() -> None:
            await report_in_vain(service, lease)
            assert (await service.get(id_)).HasField("quarantine")

        await eventually(reported_again, PATIENCE_SECONDS, interval=0.05)
        stopped = await service.get(id_)
        assert (status_of(stopped), task_status(task_of(stopped, "only"))) == ("RUNNING", "RUNNING")
        await put_back(service, definition)
        released = await service.release(id_, reason="the definition is back")
        assert not released.HasField("quarantine")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.succeed(lease)
        await worker.succeed(await worker.lease())
        await service.becomes(id_, "COMPLETED")
    assert (await service.event_types(id_))[3:5] == ["EXECUTION_QUARANTINED", "EXECUTION_RELEASED"]
    assert (await service.events(id_))[4].reason == "the definition is back"


async def test_a_lease_that_runs_out_undecidably_is_contained_and_its_task_runs_again_after_the_release(
    launch: Any, catalog: FakeCatalog
) -> None:
    service = await launch(lease_ttl=1.0)
    catalog.publish(ONE_TASK, workflow_id="damaged")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    async with ScriptedWorker(service.workers, hello("silent"), credits=1) as worker:
        await worker.lease()
        definition = await delete_definition(service)
        await quarantined(service, id_)
        (row,) = await service.rows("SELECT wake_time, frozen FROM task_runs")
        assert row["wake_time"] is None, "a timer looks at it still"
        await put_back(service, definition)
        await service.release(id_)

    async with ScriptedWorker(service.workers, hello("other"), credits=1) as worker:
        lease = await worker.lease()
        assert lease.attempt == 2
        await worker.succeed(lease)
        await service.becomes(id_, "COMPLETED")


async def test_a_heartbeat_in_a_quarantine_sets_no_timer(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish({**ONE_TASK, "timeouts": {"heartbeat": "60s"}}, {"id": "more", "type": "noop"})
    id_ = (await service.start()).execution_id

    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        lease = await worker.lease()
        definition = await delete_definition(service, "flow")
        await worker.grant(1)
        await quarantined(service, id_)
        query = (
            "SELECT wake_time, lease_expire_time, least(close_time, silence_time) AS deadline "
            f"FROM task_runs WHERE task_id = '{lease.task.task_id}'"
        )
        assert (await worker.heartbeat(lease)).stale == []
        (after,) = await service.rows(query)
        assert (after["lease_expire_time"], after["wake_time"]) == (None, None)
        await put_back(service, definition, "flow")
        await service.release(id_)

        (released,) = await service.rows(query)

        assert released["wake_time"] == released["deadline"]


async def test_an_execution_that_is_released_too_early_is_quarantined_again(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, workflow_id="damaged")
    id_ = (await service.start(workflow_id="damaged")).execution_id
    definition = await delete_definition(service)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await quarantined(service, id_)
        assert not (await service.release(id_)).HasField("quarantine")
        await quarantined(service, id_)
        await put_back(service, definition)
        await service.release(id_)
        await worker.succeed(await worker.lease())
        await service.becomes(id_, "COMPLETED")

    kinds = await service.event_types(id_)

    assert kinds[1:5] == ["EXECUTION_QUARANTINED", "EXECUTION_RELEASED"] * 2


async def test_a_missing_row_harms_only_its_own_execution(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(*CHAIN)
    catalog.publish(ONE_TASK, workflow_id="other")
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        id_ = (await service.start()).execution_id
        lease = await worker.lease()
        query = "DELETE FROM task_runs WHERE task_id = 'second' RETURNING *"
        (row,) = await service.rows(query)

        async def reported_again() -> None:
            await report_in_vain(service, lease)
            assert status_of(await service.start(workflow_id="other")) == "PENDING"
            assert (await service.get(id_)).HasField("quarantine")

        await eventually(reported_again, PATIENCE_SECONDS, interval=0.05)
    reason = (await service.get(id_)).quarantine.reason
    assert reason.startswith("the database lacks ")
    assert "second" in reason
    names = ", ".join(row.keys())
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    await service.rows(f"INSERT INTO task_runs ({names}) VALUES ({places})", *row.values())
    await service.release(id_)
    async with ScriptedWorker(service.workers, hello(), credits=1) as worker:
        await worker.succeed(lease)

        async def second() -> Any:
            lease = await worker.lease()
            await worker.succeed(lease)
            assert lease.task.task_id == "second"

        await eventually(second, PATIENCE_SECONDS)
        await service.becomes(id_, "COMPLETED")
