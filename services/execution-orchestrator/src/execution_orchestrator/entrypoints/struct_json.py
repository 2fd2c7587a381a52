"""`google.protobuf.Struct` and `Value` into JSON text and back, several times faster than json_format.

A Struct has doubles only: on the way in those that are whole (up to 2^53) become integers, as their author
wrote them. A whole double between 2^53 and 1e21 is refused: the client may have rounded an integer to it. On
the way out an integer beyond 2^53, which earlier releases stored, becomes a string.
"""

import json
import math
from typing import Any, Final

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from service_kit.errors import PAYLOAD_INVALID, FieldViolation, invalid_argument
from workflow_values import MAX_WHOLE, problem_of_double, words

from execution_orchestrator.domain.limits import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH
from execution_orchestrator.domain.payloads import size_bytes

PAYLOAD_TOO_LARGE: Final = "PAYLOAD_TOO_LARGE"
EMPTY: Final = "{}"


def payload_text(struct: Struct, path: str) -> str:
    """A caller's payload as the JSON that is stored; `path` is the field's name in the request.

    Raises ServiceError INVALID_ARGUMENT: PAYLOAD_TOO_LARGE over 1 MiB; PAYLOAD_INVALID, naming the field, for
    nesting over 32 levels and for a number that JSON does not have or that may have lost digits. Takes about
    1 µs for each value.
    """
    if not struct.fields:
        return EMPTY
    value = _object(struct, path, MAX_PAYLOAD_DEPTH)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) * 4 > MAX_PAYLOAD_BYTES and (size := size_bytes(text)) > MAX_PAYLOAD_BYTES:
        message = f"{path} has {size:,} bytes as JSON, over the {MAX_PAYLOAD_BYTES:,} that are allowed"
        raise invalid_argument(
            PAYLOAD_TOO_LARGE,
            f"{message}: pass a reference instead of the data",
            FieldViolation(path, f"over {MAX_PAYLOAD_BYTES:,} bytes as JSON"),
            metadata={"size_bytes": str(size), "limit_bytes": str(MAX_PAYLOAD_BYTES)},
        )
    return text


def _object(struct: Struct, path: str, levels: int) -> dict[str, Any]:
    if levels == 0:
        raise _refused(path, words.too_deep(MAX_PAYLOAD_DEPTH))
    return {key: _plain(value, path, key, levels) for key, value in struct.fields.items()}


def _plain(value: Value, path: str, step: str | int, levels: int) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        if number.is_integer() and -MAX_WHOLE <= number <= MAX_WHOLE:
            return int(number)
        if problem := problem_of_double(number):
            raise _refused(_below(path, step), problem)
        return number
    if kind == "struct_value":
        return _object(value.struct_value, _below(path, step), levels - 1)
    if kind == "list_value":
        below = _below(path, step)
        if levels == 1:
            raise _refused(below, words.too_deep(MAX_PAYLOAD_DEPTH))
        return [_plain(each, below, index, levels - 1) for index, each in enumerate(value.list_value.values)]
    if kind == "bool_value":
        return value.bool_value
    return None


def _below(path: str, step: str | int) -> str:
    return f"{path}[{step}]" if isinstance(step, int) else f"{path}.{step}"


def _refused(path: str, problem: str) -> Exception:
    return invalid_argument(PAYLOAD_INVALID, f"{path} {problem}", FieldViolation(path, problem))


def struct_message(text: str) -> Struct | None:
    """Stored JSON of an object as a Struct; None for what is none, or could not be read from the wire."""
    value = value_message(text)
    return value.struct_value if value is not None and value.HasField("struct_value") else None


def value_message(text: str) -> Value | None:
    """Stored JSON as a Value; None where it is nested too deeply to be read from the wire (a fan-out's list
    of outputs may be, which are at the limit themselves).
    """
    value = Value()
    return value if _fill(value, json.loads(text), MAX_PAYLOAD_DEPTH) else None


def _fill(value: Value, plain: Any, levels: int) -> bool:
    if isinstance(plain, str):
        value.string_value = plain
    elif plain is None:
        value.null_value = NULL_VALUE
    elif isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, int | float):
        if (isinstance(plain, int) and not -MAX_WHOLE <= plain <= MAX_WHOLE) or not math.isfinite(plain):
            value.string_value = str(plain)
        else:
            value.number_value = plain
    elif levels == 0:
        return False
    elif isinstance(plain, dict):
        value.struct_value.SetInParent()
        fields = value.struct_value.fields
        return all(_fill(fields[key], each, levels - 1) for key, each in plain.items())
    else:
        value.list_value.SetInParent()
        add = value.list_value.values.add
        return all(_fill(add(), each, levels - 1) for each in plain)
    return True
