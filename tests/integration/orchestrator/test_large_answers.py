"""Answers with many executions fit into messages that gRPC lets through, whatever labels they carry."""

from typing import Any

from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.service import STRONG, Service, start_request

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop"}
LABELS = {f"{number:063}": "x" * 63 for number in range(64)}
"""8 KiB."""
COUNT = 600


async def test_many_executions_with_large_labels_are_started_and_listed(
    service: Service, catalog: FakeCatalog
) -> None:
    """Together they have 5 MB."""
    catalog.publish(ONE_TASK, labels=LABELS)
    requests = [start_request() for _ in range(COUNT)]
    response = await service.executions.BatchStartExecutions(
        pb.BatchStartExecutionsRequest(requests=requests)
    )
    started = {result.execution.execution_id for result in response.results}
    assert len(started) == COUNT
    assert not any(result.execution.labels for result in response.results)

    few = await service.executions.BatchStartExecutions(pb.BatchStartExecutionsRequest(requests=requests[:2]))
    assert all(dict(result.execution.labels) == LABELS for result in few.results)

    seen, token, pages = set(), "", 0
    while not pages or token:
        request = pb.ListExecutionsRequest(page_size=1_000, page_token=token, read_consistency=STRONG)
        page = await service.executions.ListExecutions(request)
        ids = {execution.execution_id for execution in page.executions}
        assert not ids & seen
        seen |= ids
        token, pages = page.next_page_token, pages + 1
    assert pages > 1
    assert started <= seen
    assert len(seen) == COUNT + 2
