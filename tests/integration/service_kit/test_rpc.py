"""All four kinds of RPC through the interceptor, on a real aio server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import empty_pb2, struct_pb2
from prometheus_client import CollectorRegistry
from service_kit.errors import FieldViolation, ServiceError, from_rpc_error, invalid_argument, not_found
from service_kit.rpc.channel import connect
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration
from testkit.eventually import eventually
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2

NAME = "test.v1.EchoService"
KINDS = ["unary", "server_stream", "writing_stream", "client_stream", "bidi_stream"]
UNCHECKED = f"/{NAME}/unchecked"


class DomainError(Exception):
    """What a service's own code raises."""


async def behave(request: struct_pb2.Struct, context: Any) -> struct_pb2.Struct:
    """What every method does with a request: `raise` says how it fails."""
    match request.fields["raise"].string_value if "raise" in request else "":
        case "service_error":
            raise not_found("THING_NOT_FOUND", "no such thing: list them", thing="t1")
        case "violations":
            raise invalid_argument("FIELD_INVALID", "correct it", FieldViolation("a.b", "is wrong"))
        case "emoji":
            violations = [FieldViolation(f"input.f{n}", "😀" * 400) for n in range(25)]
            raise invalid_argument("INPUT_INVALID", "😀" * 1_000, *violations)
        case "domain":
            raise DomainError("secret detail")
        case "crash":
            raise RuntimeError("secret detail")
        case "abort":
            await context.abort(grpc.StatusCode.ABORTED, "aborted by hand")
        case "trailers":
            context.set_trailing_metadata((("x-kept", "yes"),))
            raise not_found("THING_NOT_FOUND", "no such thing: list them")
        case "hang":
            await asyncio.Event().wait()
        case "late_error" | "late_abort" as how:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if how == "late_abort":
                    await context.abort(grpc.StatusCode.ABORTED, "aborted by hand")
                raise not_found("THING_NOT_FOUND", "no such thing: list them") from None
    return request


class Echo(grpc.GenericRpcHandler):
    """One method of each kind; every one answers with what it was sent."""

    def __init__(self) -> None:
        coding = {
            "request_deserializer": struct_pb2.Struct.FromString,
            "response_serializer": struct_pb2.Struct.SerializeToString,
        }
        self.handlers = {
            "unary": grpc.unary_unary_rpc_method_handler(behave, **coding),
            "server_stream": grpc.unary_stream_rpc_method_handler(self.server_stream, **coding),
            "writing_stream": grpc.unary_stream_rpc_method_handler(self.writing_stream, **coding),
            "client_stream": grpc.stream_unary_rpc_method_handler(self.client_stream, **coding),
            "bidi_stream": grpc.stream_stream_rpc_method_handler(self.bidi_stream, **coding),
            "unchecked": grpc.unary_unary_rpc_method_handler(behave, **coding),
            "validated": grpc.unary_unary_rpc_method_handler(
                self.validated,
                request_deserializer=catalog_pb2.GetWorkflowRequest.FromString,
                response_serializer=empty_pb2.Empty.SerializeToString,
            ),
        }

    def service(self, details: Any) -> Any:
        return self.handlers.get(details.method.removeprefix(f"/{NAME}/"))

    async def server_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield struct_pb2.Struct()
        yield await behave(request, context)

    async def writing_stream(self, request: Any, context: Any) -> None:
        await context.write(struct_pb2.Struct())
        await context.write(await behave(request, context))

    async def client_stream(self, requests: AsyncIterator[Any], context: Any) -> Any:
        last = struct_pb2.Struct()
        async for request in requests:
            last = await behave(request, context)
        return last

    async def bidi_stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield await behave(request, context)

    async def validated(self, _: Any, __: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()


class Caller:
    """Calls a method of any kind with one request, as bytes, and gives the last response."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    async def __call__(self, kind: str, request: Any, *, service: str = NAME, **options: Any) -> Any:
        body = request if isinstance(request, bytes) else request.SerializeToString()
        path = f"/{service}/{kind}"
        if kind in ("server_stream", "writing_stream"):
            responses = [r async for r in self.channel.unary_stream(path)(body, **options)]
        elif kind == "client_stream":
            responses = [await self.channel.stream_unary(path)(iter([body]), **options)]
        elif kind == "bidi_stream":
            responses = [r async for r in self.channel.stream_stream(path)(iter([body]), **options)]
        else:
            responses = [await self.channel.unary_unary(path)(body, **options)]
        return struct_pb2.Struct.FromString(responses[-1])

    async def fails(self, kind: str, request: Any, **options: Any) -> ServiceError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self(kind, request, **options)
        return from_rpc_error(failed.value)


def struct(**values: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


async def serve(name: str, handler: Any, registry: CollectorRegistry, **options: Any) -> GrpcServer:
    metrics = RpcMetrics(registry)
    server = GrpcServer("127.0.0.1:0", [Registration.generic(name, handler)], metrics=metrics, **options)
    await server.start()
    return server


def map_error(error: Exception) -> ServiceError | None:
    return not_found("MAPPED", "mapped: list them") if isinstance(error, DomainError) else None


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def call(registry: CollectorRegistry) -> AsyncIterator[Caller]:
    server = await serve(NAME, Echo(), registry, map_error=map_error, unchecked=[UNCHECKED])
    async with connect(f"127.0.0.1:{server.port}") as channel:
        yield Caller(channel)
    await server.stop(0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_is_answered(call: Caller, kind: str) -> None:
    assert await call(kind, struct(n=5)) == struct(n=5)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_error_arrives_with_reason_facts_and_violations(call: Caller, kind: str) -> None:
    error = await call.fails(kind, struct(**{"raise": "service_error"}))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "THING_NOT_FOUND")
    assert error.message == "no such thing: list them"
    assert error.metadata == {"thing": "t1"}
    error = await call.fails(kind, struct(**{"raise": "violations"}))

    assert error.violations == (FieldViolation("a.b", "is wrong", "FIELD_INVALID"),)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_crash_arrives_as_internal_with_an_id_and_leaks_nothing(call: Caller, kind: str) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as failed:
        await call(kind, struct(**{"raise": "crash"}))
    error = from_rpc_error(failed.value)
    assert error.code is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(failed.value)
    assert "secret" not in str(failed.value.trailing_metadata())
    (line,) = [line for line in logs if line["event"] == "rpc_failed"]

    assert line["error_id"] == error.metadata["error_id"]
    assert "secret detail" in str(line["exc_info"])


@pytest.mark.parametrize("kind", KINDS)
async def test_a_services_own_exception_is_mapped(call: Caller, kind: str) -> None:
    error = await call.fails(kind, struct(**{"raise": "domain"}))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "MAPPED")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_by_hand_passes_as_it_is(call: Caller, kind: str) -> None:
    error = await call.fails(kind, struct(**{"raise": "abort"}))
    assert (error.code, error.message) == (grpc.StatusCode.ABORTED, "aborted by hand")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_nul_in_a_struct_is_refused_naming_the_field(call: Caller, kind: str) -> None:
    error = await call.fails(kind, struct(items=[{"name": "a\0b"}]))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")
    assert error.violations[0].field == "items[0].name"
    assert "items[0].name" in error.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x05\x0a\x03\xff\xfe\xfd", b"\x0a\xff"])
async def test_bytes_that_are_not_a_message_are_an_invalid_argument(
    call: Caller, kind: str, body: bytes
) -> None:
    error = await call.fails(kind, body)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_INVALID")


async def test_a_long_error_of_emoji_reaches_a_client_with_usual_limits_every_time(call: Caller) -> None:
    """Clients drop trailers of over 8 KiB now and then, the more often the larger they are."""
    for _ in range(50):
        error = await call.fails("unary", struct(**{"raise": "emoji"}))
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID")
        assert error.violations
        assert error.message.startswith("😀" * 100)


async def test_an_unchecked_method_gets_its_message_unseen(call: Caller) -> None:
    assert await call("unchecked", struct(name="a\0b")) == struct(name="a\0b")
    error = await call.fails("unchecked", b"\xff\xff\xff")

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_broken_rule_of_the_contract_is_refused_with_its_field(call: Caller) -> None:
    assert await call("validated", catalog_pb2.GetWorkflowRequest(workflow_id="orders")) == struct()
    error = await call.fails("validated", catalog_pb2.GetWorkflowRequest(workflow_id="My Flow"))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert [violation.field for violation in error.violations] == ["workflow_id"]


async def test_trailing_metadata_of_the_handler_is_kept_beside_the_details(call: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call("unary", struct(**{"raise": "trailers"}))
    assert ("x-kept", "yes") in tuple(failed.value.trailing_metadata())
    assert from_rpc_error(failed.value).reason == "THING_NOT_FOUND"


async def test_an_unknown_method_is_refused_with_a_reason_and_the_nearest_name(
    call: Caller, registry: CollectorRegistry
) -> None:
    for method in ("Chek", "x" * 5_000):
        error = await call.fails(method, struct(), service="grpc.health.v1.Health")
        assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND")
        assert error.metadata == {"method": f"/grpc.health.v1.Health/{method}"[:200]}
        assert len(error.message) < 400
    error = await call.fails("Chek", struct(), service="grpc.health.v1.Health")
    assert error.message.endswith("did you mean /grpc.health.v1.Health/Check?")
    assert "reflection" in (await call.fails("no", struct(), service="Nobody")).message
    # Callers choose such names, so they are no labels.
    labels = {"grpc_type": "unary", "grpc_service": "unknown", "grpc_method": "unknown"}
    labels["grpc_code"] = "Unimplemented"

    await eventually(lambda: registry.get_sample_value("grpc_server_handled_total", labels) == 4)


async def test_a_message_that_cannot_be_read_names_the_whole_request(call: Caller) -> None:
    error = await call.fails("unchecked", b"\xff\xff\xff")
    assert [(each.field, each.reason) for each in error.violations] == [("", "PAYLOAD_INVALID")]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_call_is_counted_with_its_code(
    call: Caller, registry: CollectorRegistry, kind: str
) -> None:
    def count(metric: str, **labels: str) -> float:
        grpc_type = "server_stream" if kind == "writing_stream" else kind
        labels |= {"grpc_service": NAME, "grpc_method": kind, "grpc_type": grpc_type}
        return registry.get_sample_value(metric, labels) or 0.0

    await call(kind, struct())
    await call.fails(kind, struct(**{"raise": "service_error"}))
    await call.fails(kind, struct(**{"raise": "abort"}))
    await call.fails(kind, struct(**{"raise": "hang"}), timeout=0.2)
    assert count("grpc_server_started_total") == 4
    assert count("grpc_server_handled_total", grpc_code="OK") == 1
    assert count("grpc_server_handled_total", grpc_code="NotFound") == 1
    assert count("grpc_server_handled_total", grpc_code="Aborted") == 1

    async def all_counted() -> None:
        assert count("grpc_server_handling_seconds_count") == 4

    await eventually(all_counted)
    assert count("grpc_server_handled_total", grpc_code="DeadlineExceeded") == 1


@pytest.mark.parametrize(
    ("kind", "received", "sent"), [("unary", 2, 2), ("server_stream", 2, 4), ("bidi_stream", 2, 2)]
)
async def test_every_message_is_counted_once(
    call: Caller, registry: CollectorRegistry, kind: str, received: int, sent: int
) -> None:
    await call(kind, struct())
    await call(kind, struct())
    labels = {"grpc_service": NAME, "grpc_method": kind, "grpc_type": kind}

    assert registry.get_sample_value("grpc_server_msg_received_total", labels) == received
    assert registry.get_sample_value("grpc_server_msg_sent_total", labels) == sent


async def test_a_cancelled_call_is_counted_as_canceled(call: Caller, registry: CollectorRegistry) -> None:
    hanging = call.channel.unary_unary(f"/{NAME}/unary")(struct(**{"raise": "hang"}).SerializeToString())
    labels = {"grpc_service": NAME, "grpc_method": "unary", "grpc_type": "unary"}
    await eventually(lambda: registry.get_sample_value("grpc_server_started_total", labels) == 1)
    hanging.cancel()
    counted = labels | {"grpc_code": "Canceled"}
    await eventually(lambda: registry.get_sample_value("grpc_server_handled_total", counted) == 1)


@pytest.mark.parametrize("how", ["late_error", "late_abort"])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_for_a_caller_that_has_left_is_counted_and_logs_nothing(
    call: Caller, kind: str, how: str, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """A deadline may pass at the moment in which the handler refuses: gRPC then refuses the status."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call(kind, struct(**{"raise": how}), timeout=0.3)
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def handled() -> bool:
        samples = [sample for metric in registry.collect() for sample in metric.samples]
        return any(sample.name == "grpc_server_handled_total" and sample.value == 1 for sample in samples)

    with structlog.testing.capture_logs() as logs:
        await eventually(handled)
        await call("unary", struct())  # a round trip: by now gRPC has logged what it would log
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_error_of_a_thousand_violations_still_arrives(call: Caller) -> None:
    error = ServiceError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "DEFINITION_INVALID",
        "ü" * 5_000,
        violations=[FieldViolation(f"tasks[{n}].when", "ü" * 300) for n in range(1_000)],
    )

    async def refuse(_: Any, __: Any) -> Any:
        raise error

    methods = {"M": grpc.unary_unary_rpc_method_handler(refuse)}
    handler = grpc.method_handlers_generic_handler("test.v1.R", methods)
    server = await serve("test.v1.R", handler, CollectorRegistry())
    async with connect(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary("/test.v1.R/M")(b"")
    await server.stop(0)
    assert from_rpc_error(failed.value).reason == "DEFINITION_INVALID"
