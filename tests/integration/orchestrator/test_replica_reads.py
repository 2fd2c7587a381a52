"""Reads go to the replica, and yet see what their caller has done."""

from typing import Any

import pytest
from service_kit.process.connection_string import ConnectionString
from testkit.databases import Database, Databases
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.conftest import Launch
from tests.integration.orchestrator.service import STRONG, Service, refusal, status_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}


@pytest.fixture
async def replicated(launch: Launch, replica_url: str) -> Service:
    return await launch(read_only_connection=ConnectionString.parse(replica_url))


async def test_a_read_with_a_token_sees_the_mutation_that_gave_it(
    replicated: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    for _ in range(10):
        started = await replicated.start()
        for mutation in (replicated.pause, replicated.resume, replicated.pause):
            changed = await mutation(started.execution_id)
            request = pb.GetExecutionRequest(
                execution_id=started.execution_id,
                read_consistency={"consistency_token": changed.consistency_token},
            )
            read = await replicated.executions.GetExecution(request)
            assert read.state_version == changed.state_version


async def test_what_the_replica_does_not_have_is_asked_of_the_primary_before_not_found_is_said(
    replicated: Service, catalog: FakeCatalog, databases: Databases, database: Database
) -> None:
    catalog.publish(ONE_TASK)
    for _ in range(10):
        id_ = (await replicated.start()).execution_id
        read = await replicated.executions.GetExecution(pb.GetExecutionRequest(execution_id=id_))
        assert status_of(read) == "PENDING"
    nowhere = pb.GetExecutionRequest(execution_id="01900000-0000-7000-8000-000000000000")
    assert (await refusal(replicated.executions.GetExecution(nowhere))).reason == "EXECUTION_NOT_FOUND"
    databases.wait_for_replica(database)

    listed = await replicated.executions.ListExecutions(pb.ListExecutionsRequest())

    assert len(listed.executions) == 10


async def test_reads_do_go_to_the_replica(replicated: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    await replicated.start()
    before = await _reads_of(replicated)
    for _ in range(5):
        await replicated.executions.ListExecutions(pb.ListExecutionsRequest())
    assert await _reads_of(replicated) == before + 5
    await replicated.executions.ListExecutions(pb.ListExecutionsRequest(read_consistency=STRONG))

    assert await _reads_of(replicated) == before + 5


async def _reads_of(service: Service) -> int:
    """How many times a connection of the replica was asked for."""
    replica: Any = service.orchestrator.reads._database.replica
    if not hasattr(replica, "asked"):
        replica.asked = 0
        acquire = replica.acquire

        async def counted(*arguments: Any) -> Any:
            connection = await acquire(*arguments)
            replica.asked += connection is not None
            return connection

        replica.acquire = counted
    return int(replica.asked)
