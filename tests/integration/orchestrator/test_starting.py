"""StartExecution: what is accepted, and what is refused before anything is written."""

import asyncio
from typing import Any

import grpc
from service_kit.errors import ServiceError
from workflowsystem.execution.v1.execution_service_pb2 import StartExecutionRequest

from tests.fakes.workflow_catalog_service import FakeCatalog
from tests.integration.orchestrator.scripted_worker import ScriptedWorker, hello
from tests.integration.orchestrator.service import Service, plain, refusal, start_request, status_of

ONE_TASK: dict[str, Any] = {"id": "only", "type": "noop", "input": "${input}"}
NEXT_STEPS = (
    "create",
    "list",
    "call",
    "publish",
    "correct",
    "remove",
    "send",
    "pass",
    "take",
    "start",
    "make",
)
LIMIT_BYTES = 1024 * 1024


async def refused(service: Service, request: StartExecutionRequest) -> ServiceError:
    """The refusal of a start, which wrote nothing and names a next step."""
    before = await service.everything()
    error = await refusal(service.executions.StartExecution(request))
    assert await service.everything() == before
    assert any(step in error.message.lower() for step in NEXT_STEPS), error.message
    return error


async def test_a_start_is_pending_committed_and_queued_when_it_is_answered(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK, labels={"team": "a", "tier": "1"})
    started = await service.start({"n": 1, "half": 0.5, "text": "ü"}, labels={"tier": "2"})
    assert (status_of(started), started.final, started.version) == ("PENDING", False, 1)
    assert (started.namespace, started.workflow_id) == ("default", "flow")
    assert dict(started.labels) == {"team": "a", "tier": "2"}
    assert started.consistency_token
    assert not started.HasField("input")
    read = await service.get(started.execution_id)
    assert plain(read.input) == {"n": 1, "half": 0.5, "text": "ü"}
    assert await service.queue_length() == 1

    stored = await service.rows("SELECT input::text FROM executions")

    assert '"n":1' in stored[0]["input"]  # and not 1.0


async def test_a_start_may_name_an_older_version(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, {**ONE_TASK, "id": "more"})
    assert (await service.start()).task_counts.total == 2
    older = await service.start(version=1)

    assert (older.version, older.task_counts.total) == (1, 1)


async def test_a_workflow_or_version_that_does_not_exist_is_not_found(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    error = await refused(service, start_request(workflow_id="nowhere"))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    assert error.metadata["workflow_id"] == "nowhere"
    error = await refused(service, start_request(version=7))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND")
    assert error.metadata["workflow_id"] == "flow"


async def test_a_workflow_that_is_not_active_starts_nothing_from_the_very_next_start_on(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    await service.start()
    catalog.set_status("DRAFT", "never-published")
    for workflow_id, status, next_step in (
        ("flow", "INACTIVE", "ActivateWorkflow"),
        ("flow", "ARCHIVED", "another one"),
        ("never-published", "DRAFT", "PublishWorkflow"),
    ):
        catalog.set_status(status, workflow_id)
        error = await refused(service, start_request(workflow_id=workflow_id))
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "WORKFLOW_NOT_ACTIVE",
        )
        assert error.metadata == {"workflow_id": workflow_id, "status": status}
        assert next_step in error.message
    catalog.set_status("ACTIVE")

    await service.start()


async def test_an_input_that_breaks_the_schema_is_refused_with_every_violation(
    service: Service, catalog: FakeCatalog
) -> None:
    schema = {
        "type": "object",
        "required": ["order"],
        "properties": {
            "order": {"type": "object", "properties": {"total": {"type": "integer", "minimum": 1}}},
            "name": {"type": "string", "maxLength": 3},
        },
    }
    catalog.publish(ONE_TASK, input_schema=schema)
    await service.start({"order": {"total": 3}})
    error = await refused(service, start_request({"order": {"total": 0}, "name": "long"}))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_SCHEMA_VIOLATION")
    assert {violation.field for violation in error.violations} == {"input.order.total", "input.name"}
    assert "input.order.total" in error.message or "input.name" in error.message

    error = await refused(service, start_request())

    assert "order" in error.message


async def test_a_payload_over_a_mebibyte_is_refused(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    overhead = len('{"text":""}')
    await service.start({"text": "x" * (LIMIT_BYTES - overhead)})
    for text in ("x" * (LIMIT_BYTES - overhead + 1), "ü" * (LIMIT_BYTES // 2)):
        error = await refused(service, start_request({"text": text}))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE")
        assert error.violations[0].field == "input"
        assert error.metadata["limit_bytes"] == str(LIMIT_BYTES)


async def test_what_can_not_be_stored_is_refused_by_its_field(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]

    for input_, field in (
        ({"name": "a\x00b"}, "input.name"),
        ({"list": [{"x": ["a\x00b"]}]}, "input.list[0].x[0]"),
        ({"a\x00b": 1}, "input"),
        ({"number": float("nan")}, "input.number"),
        ({"number": float("-inf")}, "input.number"),
        ({"deep": deep}, "input.deep"),
    ):
        error = await refused(service, start_request(input_))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
        assert error.violations[0].field.startswith(field), error.violations


async def test_half_a_surrogate_pair_and_a_depth_of_200_are_refused_on_the_wire(
    service: Service, catalog: FakeCatalog
) -> None:
    """No client library writes such bytes; a hostile one may."""
    catalog.publish(ONE_TASK)
    start = service.channel.unary_unary("/workflowsystem.execution.v1.ExecutionService/StartExecution")
    surrogate = start_request({"name": "??????"}).SerializeToString().replace(b"??????", b"\xed\xa0\x80abc")
    value = _field(3, b"bottom")
    for _ in range(200):
        value = _field(6, _field(1, value))  # Value.list_value, ListValue.values
    entry = _field(1, b"deep") + _field(2, value)
    deep = start_request().SerializeToString() + _field(4, _field(1, entry))

    for request in (surrogate, deep):
        before = await service.everything()
        error = await refusal(start(request))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
        assert await service.everything() == before


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    size = len(content)
    length = b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


async def test_a_field_that_breaks_its_rule_is_named(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    for request, field in (
        (start_request(workflow_id="My Flow"), "workflow_id"),
        (start_request(version=-1), "version"),
        (start_request(namespace="NO"), "namespace"),
        (start_request(request_id="x" * 129), "request_id"),
        (start_request(labels={"k": "v" * 64}), 'labels["k"]'),
        (start_request(labels={str(n): "" for n in range(65)}), "labels"),
    ):
        error = await refused(service, request)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert error.violations[0].field == field

    error = await refused(service, start_request(labels={"k": "a\x00"}))

    assert (error.reason, error.violations[0].field) == ("FIELD_INVALID", "labels.k")


async def test_a_task_type_that_no_worker_ever_had_is_refused_with_a_suggestion(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "type": "orders.chrage"})
    error = await refused(service, start_request())
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_TYPE_UNKNOWN")
    assert error.metadata == {"task_id": "only", "task_type": "orders.chrage"}
    async with ScriptedWorker(service.workers, hello(types=["orders.charge"])):
        error = await refused(service, start_request())
        assert "did you mean `orders.charge`?" in error.message
    async with ScriptedWorker(service.workers, hello(types=["orders.chrage"])):
        await service.start()

    await service.start()  # known from now on, also while no worker is there


async def test_the_same_request_id_with_the_same_body_starts_one_execution(
    service: Service, catalog: FakeCatalog
) -> None:
    """Also where a client library wrote the input's fields in another order, which has no meaning."""
    catalog.publish(ONE_TASK)
    names = [f"field{number}" for number in range(12)]

    def request(order: list[str]) -> StartExecutionRequest:
        return start_request({name: name.upper() for name in order}, request_id="once", labels={"a": "b"})

    both = await asyncio.gather(
        *(service.executions.StartExecution(request(order)) for order in (names, names[::-1]) * 3)
    )
    assert len({each.execution_id for each in both}) == 1
    again = await service.executions.StartExecution(request(sorted(names)))
    assert again.execution_id == both[0].execution_id
    assert again.consistency_token
    assert len(await service.rows("SELECT 1 FROM executions")) == 1


async def test_a_repeat_is_answered_with_the_first_whatever_has_changed_since(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish(ONE_TASK)
    first = await service.start({"n": 1}, request_id="once")
    catalog.set_status("INACTIVE")
    again = await service.start({"n": 1}, request_id="once")
    assert again.execution_id == first.execution_id
    catalog.workflows.clear()
    assert (await service.start({"n": 1}, request_id="once")).execution_id == first.execution_id

    other = await refused(service, start_request({"n": 2}, request_id="once"))

    assert other.reason == "WORKFLOW_NOT_FOUND"


async def test_a_request_id_with_another_body_is_refused(service: Service, catalog: FakeCatalog) -> None:
    catalog.publish(ONE_TASK)
    catalog.publish(ONE_TASK, workflow_id="other")
    await service.start({"n": 1}, request_id="once")

    for request in (
        start_request({"n": 2}, request_id="once"),
        start_request({"n": 1}, request_id="once", labels={"a": "b"}),
        start_request({"n": 1}, request_id="once", version=1),
        start_request({"n": 1}, "other", request_id="once"),
    ):
        error = await refused(service, request)
        assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_workflow_that_needs_no_worker_completes_at_once(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "when": "${input.go}"}, output="nothing to do")
    done = await service.start({"go": False})

    assert (status_of(done), done.final, done.output.string_value) == ("COMPLETED", True, "nothing to do")
    assert await service.queue_length() == 0


async def test_an_expression_that_fails_is_a_failure_of_the_execution_not_of_the_call(
    service: Service, catalog: FakeCatalog
) -> None:
    catalog.publish({**ONE_TASK, "input": "${input.missing.field}"})
    failed = await service.start({"n": 1})

    assert (status_of(failed), failed.final) == ("FAILED", True)
    assert (failed.failure.type, failed.failure.task_id) == ("ExpressionError", "only")
    assert await service.queue_length() == 0
