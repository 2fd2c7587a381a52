"""The catalog's client against a server that answers as the catalog does."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from execution_orchestrator.adapters.catalog_client import CatalogClient
from execution_orchestrator.application.ports.catalog import (
    CatalogUnavailableError,
    ResolvedVersion,
    VersionQuery,
    WorkflowNotFoundError,
)
from prometheus_client import REGISTRY, CollectorRegistry
from service_kit.errors import OVERLOADED, resource_exhausted
from service_kit.rpc.interceptors import RpcInterceptor
from service_kit.rpc.rpc_metrics import RpcMetrics
from testkit.grpc_server import grpc_server
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2_grpc as pb_grpc
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.fakes.workflow_catalog_service import FakeCatalog

NAMES = ["first", "orders", "refunds", *(f"workflow-{number}" for number in range(10))]
CALLS = "BatchGetWorkflowVersions"


@pytest.fixture
def catalog() -> FakeCatalog:
    """Each workflow has a version, whose description has the name and the version."""
    catalog = FakeCatalog()
    for name in NAMES:
        catalog.publish(workflow_id=name, description=f"{name} 1")
    return catalog


@pytest.fixture
async def channel(catalog: FakeCatalog) -> AsyncIterator[grpc.aio.Channel]:
    def register(server: Any) -> None:
        pb_grpc.add_WorkflowCatalogServiceServicer_to_server(catalog, server)

    interceptor = RpcInterceptor(RpcMetrics(CollectorRegistry()))
    async with grpc_server(register, interceptors=[interceptor]) as channel:
        yield channel


@pytest.fixture
async def client(channel: grpc.aio.Channel, catalog: FakeCatalog) -> AsyncIterator[CatalogClient]:
    yield CatalogClient(channel)
    catalog.gate.set()


@pytest.fixture
def impatient_client(channel: grpc.aio.Channel) -> CatalogClient:
    """It waits for an answer for a tenth of a second."""
    return CatalogClient(channel, timeout_seconds=0.1)


async def resolve(client: CatalogClient, query: VersionQuery) -> ResolvedVersion:
    """Return the answer to one query; raise it if it is an error."""
    (answer,) = await client.resolve([query])
    if isinstance(answer, Exception):
        raise answer
    return answer


async def resolve_all(client: CatalogClient, queries: Sequence[VersionQuery]) -> list[ResolvedVersion]:
    """Return the answers to several queries, none of which is an error."""
    answers = await client.resolve(queries)
    return [answer for answer in answers if not isinstance(answer, Exception)]


def description(definition: bytes) -> str:
    return WorkflowDefinition.FromString(definition).description


async def test_the_active_version_is_resolved_with_its_definition(client: CatalogClient) -> None:
    found = await resolve(client, VersionQuery("default", "orders"))

    assert (found.workflow_status, found.version) == ("ACTIVE", 1)
    assert description(found.definition) == "orders 1"


async def test_a_known_definition_is_not_sent_again_but_the_status_is_asked(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    query = VersionQuery("default", "orders")
    first = await resolve(client, query)
    catalog.set_status("INACTIVE", "orders")
    second = await resolve(client, query)

    assert second == first._replace(workflow_status="INACTIVE")
    assert [call.queries[0].known_version for call in catalog.requests[CALLS]] == [0, 1]


async def test_a_new_active_version_is_seen_by_the_next_start(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    await resolve(client, VersionQuery("default", "orders"))
    catalog.publish(workflow_id="orders", description="orders 2")
    found = await resolve(client, VersionQuery("default", "orders"))
    assert (found.version, description(found.definition)) == (2, "orders 2")
    pinned = await resolve(client, VersionQuery("default", "orders", 1))

    assert (pinned.version, description(pinned.definition)) == (1, "orders 1")


async def test_an_answer_without_a_definition_is_refused_unless_that_version_is_known(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    """An execution of a workflow without tasks would complete at once."""
    query = VersionQuery("default", "orders")
    catalog.forgets_definitions = True
    with pytest.raises(CatalogUnavailableError, match="no definition of version 1"):
        await resolve(client, query)
    catalog.forgets_definitions = False
    await resolve(client, query)
    catalog.forgets_definitions = True
    catalog.publish(workflow_id="orders", description="orders 2")
    with pytest.raises(CatalogUnavailableError, match="no definition of version 2"):
        await resolve(client, query)
    catalog.workflows["orders"].active_version = 1

    assert description((await resolve(client, query)).definition) == "orders 1"


async def test_a_batch_of_queries_is_one_call_with_each_of_them_once(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    queries = [VersionQuery("default", name) for name in ("orders", "refunds", "orders", "nothing")]

    found = await client.resolve(queries)

    assert [[query.workflow_id for query in call.queries] for call in catalog.requests[CALLS]] == [
        ["orders", "refunds", "nothing"],
    ]
    assert found[0] == found[2] != found[1]
    assert isinstance(found[3], WorkflowNotFoundError)
    assert (found[3].reason, str(found[3])) == (
        "WORKFLOW_NOT_FOUND",
        "no workflow `nothing`; create it with CreateWorkflow",
    )


async def test_more_queries_than_a_call_may_have_are_several_calls(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    for number in range(10, 1_001):
        catalog.publish(workflow_id=f"workflow-{number}", description=f"workflow-{number} 1")
    queries = [VersionQuery("default", f"workflow-{number}") for number in range(1_001)]

    found = await resolve_all(client, queries)

    assert [description(each.definition) for each in found] == [f"{query.workflow_id} 1" for query in queries]
    assert [len(call.queries) for call in catalog.requests[CALLS]] == [500, 501]


async def test_no_queries_are_no_call(client: CatalogClient, catalog: FakeCatalog) -> None:
    assert await client.resolve([]) == []
    assert catalog.requests[CALLS] == []


async def test_more_definitions_than_are_kept_are_still_resolved(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    client._known.max_entries = 2
    queries = [VersionQuery("default", f"workflow-{number}") for number in range(4)]

    for _ in range(3):
        found = await resolve_all(client, queries)
        assert [description(each.definition) for each in found] == [
            f"{query.workflow_id} 1" for query in queries
        ]
        await resolve(client, queries[1])

    assert len(client._known) <= 2


async def test_definitions_are_kept_up_to_a_number_of_bytes_and_the_least_used_leaves_first(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    size = len((await resolve(client, VersionQuery("default", "workflow-0"))).definition)
    client._known.max_bytes = 3 * size
    for name in ("workflow-1", "workflow-2", "workflow-0", "workflow-3"):
        await resolve(client, VersionQuery("default", name))
        assert client._known.size_bytes <= 3 * size
    catalog.requests[CALLS].clear()

    for name in ("workflow-0", "workflow-2", "workflow-3", "workflow-1"):
        found = await resolve(client, VersionQuery("default", name))
        assert description(found.definition) == f"{name} 1"

    assert [call.queries[0].known_version for call in catalog.requests[CALLS]] == [1, 1, 1, 0]


async def test_definitions_that_are_too_large_for_one_message_are_asked_for_in_parts(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    """Else starts of many large workflows that come together would be refused for ever."""
    for number in range(10):
        text = f"workflow-{number} 1" + "x" * 1_000_000
        catalog.publish(workflow_id=f"large-{number}", description=text)
    queries = [VersionQuery("default", f"large-{number}") for number in range(10)]
    found = await resolve_all(client, queries)
    assert [description(each.definition)[:12] for each in found] == [
        f"workflow-{n} 1"[:12] for n in range(10)
    ]
    asked = [len(call.queries) for call in catalog.requests[CALLS]]
    assert asked[0] == 10
    assert max(asked[1:]) <= 5
    catalog.requests[CALLS].clear()

    await resolve_all(client, queries)

    assert [len(call.queries) for call in catalog.requests[CALLS]] == [10]  # they are known now


async def test_an_overloaded_catalog_is_not_asked_again_in_parts(
    client: CatalogClient, catalog: FakeCatalog
) -> None:
    catalog.refusal = resource_exhausted(OVERLOADED, "too much at once; try again")
    queries = [VersionQuery("default", f"workflow-{number}") for number in range(10)]
    found = await client.resolve(queries)

    assert {type(each) for each in found} == {CatalogUnavailableError}
    assert len(catalog.requests[CALLS]) == 1


async def test_calls_and_questions_are_counted(client: CatalogClient) -> None:
    before = _counted()
    queries = [VersionQuery("default", name) for name in ("orders", "refunds", "orders")]
    await resolve_all(client, queries)

    assert _counted() == (before[0] + 1, before[1] + 2)


def _counted() -> tuple[float, ...]:
    names = ("workflow_catalog_calls_total", "workflow_catalog_queries_total")
    return tuple(REGISTRY.get_sample_value(name) or 0.0 for name in names)


async def test_a_catalog_that_does_not_answer_is_unavailable() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        client = CatalogClient(channel, timeout_seconds=0.1)
        with pytest.raises(CatalogUnavailableError):
            await resolve(client, VersionQuery("default", "orders"))


async def test_a_catalog_that_comes_back_answers_again(
    client: CatalogClient, impatient_client: CatalogClient, catalog: FakeCatalog
) -> None:
    catalog.gate.clear()
    with pytest.raises(CatalogUnavailableError, match="DEADLINE_EXCEEDED"):
        await resolve(impatient_client, VersionQuery("default", "orders"))
    catalog.gate.set()

    assert (await resolve(client, VersionQuery("default", "orders"))).version == 1
