"""Task types that the engine keeps for itself: `workflow`, and all that begin with `wait.`.

This release runs none of them, so it starts no workflow that has one, and takes no worker that offers one.
"""

from typing import Any

import grpc
import pytest
from testkit import eventually
from workflowsystem.worker.v1 import worker_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, refusal, status_of

CHILD: dict[str, Any] = {"id": "child", "type": "workflow", "workflow": {"workflow_id": "other"}}
RESERVED = [
    (CHILD, "this release does not run child workflows"),
    ({"id": "nap", "type": "wait.timer"}, "this release does not run timers, signals and approvals"),
    ({"id": "nap", "type": "wait.anything_at_all"}, "this release does not run timers"),
]
KNOWN = "INSERT INTO task_types VALUES ('default', $1, now()), ('default', 'mail.send', now())"


@pytest.mark.parametrize(("task", "sentence"), RESERVED)
async def test_a_workflow_with_such_a_task_is_refused_whatever_workers_offered_before(
    service: Service, catalog: FakeCatalog, task: dict[str, Any], sentence: str
) -> None:
    """An orchestrator of an earlier release may have noted such an offer."""
    await service.pool.execute(KNOWN, task["type"])
    catalog.publish({"id": "first", "type": "mail.send"}, task | {"needs": ["first"]})

    for _ in range(2):  # by what was read, and by what is remembered of it
        error = await refusal(service.start())
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_TYPE_UNKNOWN")
        assert f"task `{task['id']}` has type `{task['type']}`, and {sentence}" in error.message
        assert "publish a version without that task" in error.message
        assert "worker" not in error.message

    assert await service.rows("SELECT 1 FROM executions") == []


async def test_a_handler_whose_name_only_looks_like_one_is_a_handler(
    service: Service, catalog: FakeCatalog
) -> None:
    types = ["workflow.report", "workflows", "wait", "waiter.call"]
    catalog.publish(*({"id": f"t{n}", "type": type_} for n, type_ in enumerate(types)))
    async with ScriptedWorker(service.workers, hello(types=types), credits=4) as worker:
        started = await service.start()
        await worker.succeed(*await worker.leases(4))

        assert status_of(await service.becomes(started.execution_id, "COMPLETED")) == "COMPLETED"


@pytest.mark.parametrize("task_type", ["workflow", "wait.timer", "wait.anything"])
async def test_a_worker_that_offers_one_is_refused_by_its_place_and_nothing_is_noted(
    service: Service, task_type: str
) -> None:
    greeting = hello(types=["mail.send", task_type])
    by_stream = await refusal(ScriptedWorker(service.workers, greeting).refused())
    by_call = await refusal(service.workers.LeaseTasks(pb.LeaseTasksRequest(worker=greeting, max_tasks=1)))
    for error, path in ((by_stream, "hello"), (by_call, "worker")):
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert [each.field for each in error.violations] == [f"{path}.task_types[1]"]
        assert f"`{task_type}` is run by the engine" in error.message
        assert "rename the handler" in error.message
    assert await service.rows("SELECT * FROM task_types") == []

    await eventually(lambda: not service.orchestrator.roster.sessions)
