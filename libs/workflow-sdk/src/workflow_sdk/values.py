"""Payloads between Python and `google.protobuf.Struct`/`Value`, which know only doubles.

Integral doubles up to 2^53 come back as int, so that 3 sent is 3 received (and 3.0 is 3 as well, as in
JavaScript). Integers beyond 2^53 would lose digits: they are refused, send them as strings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2

from workflow_sdk.payloads import PayloadError, check

LARGEST_EXACT_INTEGER = 2**53


def to_struct(values: Mapping[str, Any], what: str = "input") -> struct_pb2.Struct:
    """A Struct of the values. Raises PayloadError naming the place within `what`."""
    values = dict(values)
    check(values, what)
    struct = struct_pb2.Struct()
    _fill_struct(struct, values, what)
    return struct


def to_value(value: Any, what: str = "value") -> struct_pb2.Value:
    """A Value of what JSON can say. Raises PayloadError naming the place within `what`."""
    check(value, what)
    message = struct_pb2.Value()
    _fill_value(message, value, what)
    return message


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The values of a Struct as plain Python."""
    return {key: from_value(value) for key, value in struct.fields.items()}


def from_value(value: struct_pb2.Value) -> Any:
    """The value as plain Python; one that was never set is None."""
    match value.WhichOneof("kind"):
        case "number_value":
            return _number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
    return None


def _number(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) <= LARGEST_EXACT_INTEGER else number


def _fill_struct(struct: struct_pb2.Struct, values: Mapping[str, Any], path: str) -> None:
    for key, value in values.items():
        _fill_value(struct.fields[key], value, f"{path}.{key}")


def _fill_value(message: struct_pb2.Value, value: Any, path: str) -> None:
    if value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int):
        if abs(value) > LARGEST_EXACT_INTEGER:
            raise PayloadError(
                f"{path} is {value}, beyond 2^53 where doubles lose digits: send it as a string"
            )
        message.number_value = value
    elif isinstance(value, float):
        message.number_value = value
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value, path)
    else:
        message.list_value.SetInParent()
        for index, item in enumerate(value):
            _fill_value(message.list_value.values.add(), item, f"{path}[{index}]")
