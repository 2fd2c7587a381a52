"""A gateway that puts a canary into every text: characters that a terminal must never obey, and markup."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from workflowsystem.execution.v1 import event_pb2
from workflowsystem.gateway.v1 import watch_service_pb2

FORGED = "forged line"
CANARY = f"\x1b]52;c;Zm9v\x07\x1b[2J\x9b31m\u202e\u200b\x7f\x00[/nope]\r\n{FORGED}\u2028{FORGED}"
DEEPEST = 7
_NO_TEXT = frozenset({"next_page_token"})
"""Pages without end would be no better test."""


def filled(descriptor: Descriptor, variant: int, depth: int = 0) -> Any:
    """A message with a canary in each of its texts; variants have other members of each oneof."""
    message = GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.Timestamp":
        message.seconds = 1_700_000_000
        return message
    for field in descriptor.fields:
        oneof = field.containing_oneof
        chosen = oneof is None or oneof.fields[variant % len(oneof.fields)] is field
        if chosen and field.name not in _NO_TEXT and not (field.message_type and depth == DEEPEST):
            _fill(message, field, variant, depth)
    return message


def _fill(message: Any, field: FieldDescriptor, variant: int, depth: int) -> None:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        member = kind.fields_by_name["value"]
        if member.message_type is None:
            getattr(message, field.name)[CANARY] = CANARY
        else:
            value = filled(member.message_type, variant, depth + 1)
            getattr(message, field.name)[CANARY].CopyFrom(value)
    elif field.is_repeated:
        getattr(message, field.name).append(_value(field, variant, depth))
    elif kind is not None:
        getattr(message, field.name).CopyFrom(_value(field, variant, depth))
    else:
        setattr(message, field.name, _value(field, variant, depth))


def _value(field: FieldDescriptor, variant: int, depth: int) -> Any:
    if field.message_type is not None:
        return filled(field.message_type, variant, depth + 1)
    if field.enum_type is not None:
        return _number(field.enum_type, variant)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return CANARY.encode() if field.type == FieldDescriptor.TYPE_BYTES else f"{field.name} {CANARY}"
    return bool(variant % 2) if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else 3


def _number(enum: EnumDescriptor, variant: int) -> int:
    numbers = [value.number for value in enum.values if value.number]
    return numbers[variant % len(numbers)] if numbers else 0  # NullValue has no other


class CanaryGateway(grpc.GenericRpcHandler):
    """Answers every method of the gateway, with messages or, if `fails`, with an error."""

    def __init__(self) -> None:
        self.variant = 0
        self.fails = False
        self._server = grpc.server(
            ThreadPoolExecutor(4), handlers=(self,), options=[("grpc.so_reuseport", 0)]
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, name = details.method[1:].partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        reader = GetMessageClass(method.input_type).FromString
        if name == "WatchExecution":
            handler = grpc.unary_stream_rpc_method_handler(
                self._watch, reader, watch_service_pb2.WatchExecutionResponse.SerializeToString
            )
        else:
            handler = grpc.unary_unary_rpc_method_handler(
                lambda _, context: self._answer(method, context), reader, lambda m: m.SerializeToString()
            )
        return handler

    def _answer(self, method: MethodDescriptor, context: Any) -> Any:
        if self.fails:
            self._fail(context)
        return filled(method.output_type, self.variant)

    def _watch(self, _request: Any, context: Any) -> Iterator[Any]:
        if self.fails:
            self._fail(context)
        response = watch_service_pb2.WatchExecutionResponse
        snapshot = filled(_snapshot_type(), self.variant)
        snapshot.final = False
        yield response(snapshot=snapshot, resume_token="t")
        types = [number for number in event_pb2.ExecutionEventType.values() if number]
        for sequence, number in enumerate(types, start=4):
            event = filled(event_pb2.ExecutionEvent.DESCRIPTOR, self.variant)
            event.type, event.sequence, event.final = number, sequence, number == types[-1]
            if number % 2:
                event.task_id = ""
            if event.final:
                event.status = 3
            yield response(event=event, resume_token=f"t{sequence}")

    def _fail(self, context: Any) -> None:
        status = status_pb2.Status(code=3, message=f"message {CANARY}")
        for detail in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.Help):
            status.details.add().Pack(filled(detail.DESCRIPTOR, 0))
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, status.message)


def _snapshot_type() -> Descriptor:
    fields = watch_service_pb2.WatchExecutionResponse.DESCRIPTOR.fields_by_name
    kind = fields["snapshot"].message_type
    assert kind is not None
    return kind
