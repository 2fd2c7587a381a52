"""Converts payloads between Python and `google.protobuf.Struct`/`Value`, whose only numbers are doubles.

A whole double up to 2^53 comes back as an int: 3 stays 3, and 3.0 becomes 3, as in JavaScript. A whole number
beyond 2^53 would lose digits, or look as if it had. Below 1e21 it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import struct_pb2
from workflow_contract.payloads import as_whole

from workflow_sdk.payloads import check


def to_struct(values: Mapping[str, Any], what: str = "input") -> struct_pb2.Struct:
    """Return the values as a Struct. Raises PayloadError, which names the place within `what`."""
    values = dict(values)
    check(values, what)
    struct = struct_pb2.Struct()
    _fill_struct(struct, values)
    return struct


def to_value(value: Any, what: str = "value") -> struct_pb2.Value:
    """Return a JSON value as a Value. Raises PayloadError, which names the place within `what`."""
    check(value, what)
    message = struct_pb2.Value()
    _fill_value(message, value)
    return message


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the values as plain Python, names in alphabetical order: a protobuf map has no order."""
    return {name: from_value(struct.fields[name]) for name in sorted(struct.fields)}


def from_value(value: struct_pb2.Value) -> Any:
    """Return the value as plain Python; None if it was never set."""
    match value.WhichOneof("kind"):
        case "number_value":
            return as_whole(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [from_value(item) for item in value.list_value.values]
    return None


def _fill_struct(struct: struct_pb2.Struct, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        _fill_value(struct.fields[key], value)


def _fill_value(message: struct_pb2.Value, value: Any) -> None:
    """Fill the message from a value that `check` has accepted."""
    if value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, int | float):
        message.number_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        _fill_struct(message.struct_value, value)
    else:
        message.list_value.SetInParent()
        for item in value:
            _fill_value(message.list_value.values.add(), item)
