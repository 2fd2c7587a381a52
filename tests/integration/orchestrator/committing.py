"""What the tests around a commit share: workflows, a worker with room, work that is ready to be submitted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from execution_orchestrator.application.engine.work import StartWork
from execution_orchestrator.application.ports.store import RequestId
from execution_orchestrator.domain.buckets import bucket_of_request
from execution_orchestrator.domain.commands import StartExecution
from service_kit.tools.ids import new_uuid7

from tests.integration.orchestrator.engine import Engine, running_engine

ONE_TASK = {"tasks": [{"id": "only", "type": "noop"}]}
CHAIN = {"tasks": [{"id": "first", "type": "noop"}, {"id": "second", "type": "noop", "needs": ["first"]}]}


@asynccontextmanager
async def prepared_engine(database_url: str, redis_url: str, **limits: Any) -> AsyncIterator[Engine]:
    async with running_engine(database_url, redis_url, **limits) as engine:
        await engine.publish(ONE_TASK)
        await engine.publish(CHAIN, "chain")
        yield engine


def request_for(text: str) -> RequestId:
    return RequestId("default", text, b"hash", new_uuid7(bucket_of_request("default", text)))


class Room:
    """A worker with room for every task."""

    worker_id = "worker"
    boot_id = "boot"

    def __init__(self) -> None:
        self.credits = 1
        self.leases: list[Any] = []

    def reserve(self, namespace: str, task_type: str, queue: str, reporter: Any) -> Any:
        if not self.credits:
            return None
        self.credits -= 1
        return self

    def give_back(self) -> None:
        self.credits += 1

    def deliver(self, lease: Any) -> None:
        self.leases.append(lease)


async def start_work(engine: Engine, workflow_id: str, input_: str) -> Any:
    plan = await engine.plans.get("default", workflow_id, 1)
    return StartWork(StartExecution(new_uuid7(), "default", workflow_id, 1, input_, {}), plan)
