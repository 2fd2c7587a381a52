"""`python -m workflow_catalog` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from testkit import eventually
from testkit.databases import Database, Databases
from workflowsystem.catalog.v1 import definition_pb2
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as pb
from workflowsystem.catalog.v1.workflow_catalog_service_pb2_grpc import WorkflowCatalogServiceStub
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency

SERVICE = "workflowsystem.catalog.v1.WorkflowCatalogService"


def environment(**settings: str) -> dict[str, str]:
    """Nothing listens at the address of Redis: the catalog works without it."""
    return {"PATH": os.environ["PATH"], "LOG_FORMAT": "json", "REDIS": "127.0.0.1:1", **settings}


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, int]]]:
    """The process and its ports, found in its log."""
    command = (sys.executable, "-W", "error", "-m", "workflow_catalog", "serve")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(**settings), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    ports: dict[str, int] = {}
    try:
        while len(ports) < 2:
            line = await asyncio.wait_for(process.stderr.readline(), 20)
            assert line, "the service ended before it listened"
            entry = json.loads(line)
            if entry["event"].endswith("_server_started"):
                ports[entry["event"].split("_")[0]] = entry["port"]
        yield process, ports
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def migrated(database_url: str) -> int:
    command = (sys.executable, "-W", "error", "-m", "workflow_catalog", "migrate")
    process = await asyncio.create_subprocess_exec(*command, env=environment(DATABASE_URL=database_url))
    return await process.wait()


async def test_migrate_then_serve_on_an_empty_database(databases: Databases) -> None:
    database = databases.create()
    assert await migrated(database.url) == 0
    async with serving(DATABASE_URL=database.url) as (process, ports):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
            health = health_pb2_grpc.HealthStub(channel)

            async def serves() -> bool:
                answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await eventually(serves)
            stub = WorkflowCatalogServiceStub(channel)
            task = definition_pb2.TaskDefinition(id="a", type="noop")
            definition = definition_pb2.WorkflowDefinition(tasks=[task])
            await stub.CreateWorkflow(pb.CreateWorkflowRequest(workflow_id="orders", definition=definition))
            published = await stub.PublishWorkflow(pb.PublishWorkflowRequest(workflow_id="orders"))
            assert published.active_version == 1
        url = f"http://127.0.0.1:{ports['http']}"
        metrics = await asyncio.to_thread(lambda: urlopen(f"{url}/metrics").read().decode())
        assert f'grpc_method="PublishWorkflow",grpc_service="{SERVICE}"' in metrics
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    databases.drop(database)


async def test_a_read_of_what_the_replica_does_not_have_yet_finds_it(
    databases: Databases, database: Database, replica_url: str
) -> None:
    """By the courtesy of asking the primary, and by a token; on a real replica, a moment behind."""
    async with (
        serving(DATABASE_URL=database.url, DATABASE_REPLICA_URL=replica_url) as (_, ports),
        grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel,
    ):
        stub = WorkflowCatalogServiceStub(channel)
        task = definition_pb2.TaskDefinition(id="a", type="noop")
        definition = definition_pb2.WorkflowDefinition(tasks=[task])

        for number in range(20):
            workflow_id = f"flow-{number}"
            request = pb.CreateWorkflowRequest(workflow_id=workflow_id, definition=definition)
            created = await stub.CreateWorkflow(request)
            get = pb.GetWorkflowRequest(workflow_id=workflow_id)
            assert (await stub.GetWorkflow(get)).etag == created.etag
            definition.owner = f"owner-{number}"
            update = pb.UpdateWorkflowRequest(
                workflow_id=workflow_id, definition=definition, etag=created.etag
            )
            updated = await stub.UpdateWorkflow(update)
            get.read_consistency.CopyFrom(ReadConsistency(consistency_token=updated.consistency_token))
            assert (await stub.GetWorkflow(get)).etag == updated.etag


async def test_a_catalog_whose_database_has_no_tables_is_not_ready(databases: Databases) -> None:
    empty = databases.create()
    async with serving(DATABASE_URL=empty.url) as (_, ports):
        await is_not_ready(ports, "run `python -m workflow_catalog migrate`")
        code = await code_of_a_create(ports)
    assert code is grpc.StatusCode.UNAVAILABLE
    databases.drop(empty)


async def is_not_ready(ports: dict[str, int], reason: str) -> None:
    """Wait until `/readyz` answers 503 with this text."""

    def asked() -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{ports['http']}/readyz") as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    async def not_ready() -> None:
        status, body = await asyncio.to_thread(asked)
        assert status == 503, body
        assert reason in body

    await eventually(not_ready, timeout=60)


async def code_of_a_create(ports: dict[str, int]) -> grpc.StatusCode:
    definition = definition_pb2.WorkflowDefinition(tasks=[definition_pb2.TaskDefinition(id="a", type="noop")])
    request = pb.CreateWorkflowRequest(workflow_id="orders", definition=definition)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        try:
            await WorkflowCatalogServiceStub(channel).CreateWorkflow(request)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_without_a_database_the_start_fails_with_a_clear_line() -> None:
    command = (sys.executable, "-m", "workflow_catalog", "serve")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()

    assert process.returncode == 2
    assert b"DEFAULT_CONNECTION or DATABASE_URL is not set" in errors
