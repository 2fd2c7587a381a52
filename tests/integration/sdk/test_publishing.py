"""What a Workflow asks of the catalog when it is validated and published."""

from typing import Any

import grpc
import pytest
from workflow_sdk import Client, Workflow
from workflow_sdk.authoring.publishing import ATTEMPTS
from workflow_sdk.errors import InvalidRequestError, StaleError
from workflow_sdk.testing import FakeGateway, RefusedError
from workflowsystem.catalog.v1 import report_pb2, workflow_pb2
from workflowsystem.type.v1 import read_consistency_pb2

NOT_FOUND = RefusedError(grpc.StatusCode.NOT_FOUND, "no such workflow", "WORKFLOW_NOT_FOUND")
TAKEN = RefusedError(grpc.StatusCode.ALREADY_EXISTS, "somebody was faster", "WORKFLOW_ALREADY_EXISTS")
STALE = RefusedError(grpc.StatusCode.ABORTED, "the draft changed", "ETAG_STALE")
INVALID = RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "2 problems", "DEFINITION_INVALID")
PUBLISHED = workflow_pb2.Workflow(workflow_id="orders", active_version=7)


@pytest.fixture
def orders() -> Workflow:
    orders = Workflow("orders", owner="payments")
    orders.task("charge", "orders.charge")
    return orders


def draft(etag: str, **fields: Any) -> workflow_pb2.Workflow:
    return workflow_pb2.Workflow(workflow_id="orders", etag=etag, **fields)


def etags(gateway: FakeGateway, method: str) -> list[str]:
    return [request.etag for request in gateway.requests[method]]


async def test_a_new_workflow_is_created_and_published(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [NOT_FOUND]
    gateway.answers["CreateWorkflow"] = [draft("e1")]
    gateway.answers["PublishWorkflow"] = [PUBLISHED]
    assert (await orders.publish(client)).active_version == 7
    (created,) = gateway.requests["CreateWorkflow"]

    assert (created.namespace, created.workflow_id) == ("shop", "orders")
    assert created.definition == orders.definition
    assert etags(gateway, "PublishWorkflow") == ["e1"]


async def test_a_draft_is_replaced_as_it_was_read_and_then_published(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [draft("e1", definition={"owner": "somebody"})]
    gateway.answers["UpdateWorkflow"] = [draft("e2")]
    gateway.answers["PublishWorkflow"] = [PUBLISHED]
    await orders.publish(client)
    (updated,) = gateway.requests["UpdateWorkflow"]

    assert (updated.etag, updated.definition) == ("e1", orders.definition)
    assert not updated.HasField("update_mask")
    assert etags(gateway, "PublishWorkflow") == ["e2"]
    assert (
        gateway.requests["GetWorkflow"][0].read_consistency.level
        == read_consistency_pb2.ReadConsistency.LEVEL_STRONG
    )


async def test_a_draft_that_is_this_definition_already_is_not_written_again(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [draft("e1", definition=orders.definition)]
    gateway.answers["PublishWorkflow"] = [PUBLISHED]
    await orders.publish(client)

    assert not gateway.requests["UpdateWorkflow"]
    assert etags(gateway, "PublishWorkflow") == ["e1"]


async def test_a_draft_that_changes_meanwhile_is_read_again(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [draft("e1"), draft("e2"), draft("e4", definition=orders.definition)]
    gateway.answers["UpdateWorkflow"] = [STALE, draft("e3")]
    gateway.answers["PublishWorkflow"] = [STALE, PUBLISHED]

    assert (await orders.publish(client)).active_version == 7
    assert etags(gateway, "UpdateWorkflow") == ["e1", "e2"]
    assert etags(gateway, "PublishWorkflow") == ["e3", "e4"]


async def test_a_workflow_that_somebody_else_creates_meanwhile_is_updated(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [NOT_FOUND, draft("e1")]
    gateway.answers["CreateWorkflow"] = [TAKEN]
    gateway.answers["UpdateWorkflow"] = [draft("e2")]
    gateway.answers["PublishWorkflow"] = [PUBLISHED]

    assert (await orders.publish(client)).active_version == 7


async def test_a_draft_that_changes_again_and_again_is_left_to_its_editors(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [draft("e1")]
    gateway.answers["UpdateWorkflow"] = [STALE]

    with pytest.raises(StaleError):
        await orders.publish(client)
    assert len(gateway.requests["UpdateWorkflow"]) == ATTEMPTS
    assert not gateway.requests["PublishWorkflow"]


async def test_problems_of_the_definition_are_raised_at_once(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["GetWorkflow"] = [draft("e1")]
    gateway.answers["UpdateWorkflow"] = [draft("e2")]
    gateway.answers["PublishWorkflow"] = [INVALID]

    with pytest.raises(InvalidRequestError, match="2 problems"):
        await orders.publish(client)
    assert len(gateway.requests["PublishWorkflow"]) == 1


async def test_a_validation_sends_the_definition_and_writes_nothing(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["ValidateWorkflow"] = [report_pb2.ValidationReport(valid=True)]
    assert (await orders.validate(client)).valid
    (request,) = gateway.requests["ValidateWorkflow"]

    assert (request.workflow_id, request.definition) == ("orders", orders.definition)
    assert set(gateway.requests) == {"ValidateWorkflow"}


async def test_a_client_takes_the_definition_as_it_is(
    gateway: FakeGateway, client: Client, orders: Workflow
) -> None:
    gateway.answers["CreateWorkflow"] = [draft("e1")]
    await client.create_workflow(orders.workflow_id, orders.definition)
    await client.create_workflow(orders.workflow_id, orders.to_dict())
    as_message, as_json = gateway.requests["CreateWorkflow"]

    assert as_message.definition == as_json.definition == orders.definition
