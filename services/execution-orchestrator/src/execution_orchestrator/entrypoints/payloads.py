"""JSON text into Struct and Value, and back. To users payloads are plain JSON; numbers are doubles."""

import json
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from service_kit.errors import FieldViolation, invalid_argument

from execution_orchestrator.domain.limits import MAX_PAYLOAD_BYTES

MAX_SAFE_INTEGER = 2**53


def payload_text(struct: Struct, field: str) -> str:
    """A payload as JSON; what is whole becomes an integer. Raises ServiceError PAYLOAD_TOO_LARGE."""
    text = json.dumps(_object(struct), ensure_ascii=False, separators=(",", ":"))
    if len(text) * 4 > MAX_PAYLOAD_BYTES and (size := len(text.encode())) > MAX_PAYLOAD_BYTES:
        message = f"`{field}` has {size:,} bytes as JSON, at most {MAX_PAYLOAD_BYTES:,} are taken; "
        raise invalid_argument(
            "PAYLOAD_TOO_LARGE",
            message + "put the data elsewhere and pass a reference to it",
            FieldViolation(field, f"is over {MAX_PAYLOAD_BYTES:,} bytes as JSON"),
            metadata={"size_bytes": str(size), "limit_bytes": str(MAX_PAYLOAD_BYTES)},
        )
    return text


def _object(struct: Struct) -> dict[str, Any]:
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= MAX_SAFE_INTEGER else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _object(value.struct_value)
        case "list_value":
            return [_plain(each) for each in value.list_value.values]
        case _:
            return None


def struct_of(text: str | None) -> Struct | None:
    """A stored JSON object as a Struct."""
    return None if text is None else Struct(fields=_fields(json.loads(text)))


def value_of(text: str | None) -> Value | None:
    """Stored JSON as a Value."""
    return None if text is None else _value(json.loads(text))


def _fields(value: dict[str, Any]) -> dict[str, Value]:
    return {key: _value(each) for key, each in value.items()}


def _value(value: Any) -> Value:
    match value:
        case str():
            return Value(string_value=value)
        case bool():
            return Value(bool_value=value)
        case int() | float():
            return Value(number_value=value)
        case dict():
            return Value(struct_value=Struct(fields=_fields(value)))
        case list():
            return Value(list_value=ListValue(values=map(_value, value)))
        case _:
            return Value(null_value=NULL_VALUE)
