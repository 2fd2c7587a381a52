"""`workflowctl workers`: who is connected, as a table and in detail."""

import json

from tests.fakes.gateway import EXECUTION_ID, FakeGateway
from tests.integration.workflowctl.conftest import Run


async def test_workers_are_listed_by_name_and_chosen_by_what_they_offer(ctl: Run, fake: FakeGateway) -> None:
    ran = await ctl("workers", "--type", "orders.charge", "--queue", "slow", "-n", "team-a")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["worker", "pod-1", "pod-2"]
    assert "1/4" in ran.out
    assert "orders/charge" in ran.out
    request = fake.executions.requests[0]

    assert (request.task_type, request.queue, request.namespace) == ("orders.charge", "slow", "team-a")
    assert len((await ctl("workers", "--limit", "1")).out.splitlines()) == 2


async def test_a_worker_that_is_named_is_shown_with_its_tasks(ctl: Run, fake: FakeGateway) -> None:
    ran = await ctl("workers", "pod-1")
    assert (fake.executions.requests[0].worker_id, ran.out.count(EXECUTION_ID)) == ("pod-1", 2)
    workers = json.loads((await ctl("workers", "-o", "json")).out)["workers"]

    assert [each["worker_id"] for each in workers] == ["pod-1", "pod-2"]
    assert workers[0]["tasks"][0]["execution_id"] == EXECUTION_ID
