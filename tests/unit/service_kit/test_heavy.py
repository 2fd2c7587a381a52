"""Large work runs on a thread, one piece after the other; small work runs at once."""

import asyncio
import threading

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from service_kit.errors import ServiceError
from service_kit.rpc.request_check import parse_and_check
from service_kit.tools.heavy import LARGE_BYTES, HeavyThread
from service_kit.tools.payload_text import without_payloads
from workflowsystem.catalog.v1.workflow_catalog_service_pb2 import CreateWorkflowRequest

LARGE = LARGE_BYTES + 1


async def test_only_large_work_runs_on_the_thread() -> None:
    thread = HeavyThread("test")
    here = threading.get_ident()

    assert await thread.run(LARGE_BYTES, threading.get_ident) == here
    assert await thread.run(LARGE, threading.get_ident) != here


async def test_large_work_runs_one_after_the_other_and_the_loop_goes_on() -> None:
    thread, begin = HeavyThread("test"), threading.Event()
    order: list[int] = []

    def work(number: int) -> None:
        assert begin.wait(30)
        order.append(number)

    waiting = [asyncio.ensure_future(thread.run(LARGE, work, number)) for number in range(3)]
    await asyncio.sleep(0)
    assert order == []
    begin.set()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]


async def test_what_would_wait_beyond_the_limit_is_refused_as_overload() -> None:
    thread, begin = HeavyThread("test", max_waiting_bytes=2 * LARGE), threading.Event()
    waiting = [asyncio.ensure_future(thread.run(LARGE, begin.wait, 30)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as caught:
        await thread.run(LARGE, begin.wait, 30)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")

    begin.set()

    assert await asyncio.gather(*waiting) == [True, True]
    assert await thread.run(LARGE, lambda: "again") == "again"


async def test_errors_come_out_and_work_of_a_cancelled_caller_is_dropped() -> None:
    thread, begin = HeavyThread("test"), threading.Event()
    ran: list[str] = []
    first = asyncio.ensure_future(thread.run(LARGE, begin.wait, 30))
    second = asyncio.ensure_future(thread.run(LARGE, ran.append, "dropped"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    begin.set()

    await first

    with pytest.raises(ZeroDivisionError):
        await thread.run(LARGE, lambda: 1 // 0)
    assert ran == []


def large_request(**fields: object) -> CreateWorkflowRequest:
    request = CreateWorkflowRequest(workflow_id="orders", **fields)  # type: ignore[arg-type]
    task = request.definition.tasks.add(id="a", type="noop")
    task.input.list_value.values.extend([Value(string_value="x" * 100)] * 2_000)
    task.output_schema.CopyFrom(Struct(fields={"x": Value(number_value=1)}))
    task.for_each.items.SetInParent()
    return request


def test_a_copy_without_payloads_keeps_everything_else() -> None:
    request = large_request()
    copy = without_payloads(request)
    assert len(request.definition.tasks[0].input.list_value.values) == 2_000
    assert copy.ByteSize() < 100
    (task,) = copy.definition.tasks

    assert (task.id, task.type) == ("a", "noop")
    assert [task.HasField(name) for name in ("input", "output_schema")] == [True, True]
    assert task.for_each.HasField("items")


def test_the_rules_of_a_large_request_hold_and_its_payload_is_kept() -> None:
    request = large_request()
    assert parse_and_check(CreateWorkflowRequest.FromString, request.SerializeToString()) == request
    request.definition.tasks[0].id = "Not an id"
    del request.definition.tasks[0].for_each.items.list_value.values[:]

    with pytest.raises(ServiceError) as caught:
        parse_and_check(CreateWorkflowRequest.FromString, request.SerializeToString())
    assert [violation.field for violation in caught.value.violations] == ["definition.tasks[0].id"]
