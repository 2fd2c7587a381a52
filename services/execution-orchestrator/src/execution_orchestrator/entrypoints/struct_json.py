"""The conversion of `google.protobuf.Struct` and `Value` to JSON text and back, much faster than json_format.

A Struct has only doubles. On the way in, whole doubles up to 2^53 become integers, as their author wrote
them. A whole double between 2^53 and 1e21 is refused, because the client may have rounded an integer to it.
On the way out, an integer beyond 2^53, which earlier releases stored, becomes a string.

A thread converts messages of over LARGE_BYTES, see `service_kit.tools.heavy`.
"""

import json
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct, Value
from service_kit.errors import PAYLOAD_INVALID, FieldViolation, invalid_argument
from workflow_contract.limits import MAX_PAYLOAD_DEPTH, MAX_PAYLOAD_VALUE_BYTES
from workflow_contract.payloads import MAX_WHOLE, problem_of_double, words
from workflow_expressions.payload_size import encoded

from execution_orchestrator.domain.payloads import (
    SizeProblem,
    too_deep,
    too_large_as_json,
    too_large_as_value,
)

PAYLOAD_TOO_LARGE: Final = "PAYLOAD_TOO_LARGE"
EMPTY: Final = "{}"
_VALUE_FRAME_BYTES: Final = 5
"""The bytes of a Value beyond its Struct: a tag, and a length of at most 4 bytes."""


def payload_text(struct: Struct, path: str) -> str:
    """Return a caller's payload as the JSON that is stored. `path` is the name of the field in the request.

    Raise ServiceError INVALID_ARGUMENT: PAYLOAD_TOO_LARGE over 1 MiB as JSON or 1.5 MiB as a Value;
    PAYLOAD_INVALID for nesting over 32 levels, and for a number that JSON does not have or that may have
    lost digits. The conversion takes about 1 µs for each value. A payload that is too large as a Value costs
    nothing.
    """
    if not struct.fields:
        return EMPTY
    if (problem := too_large_as_value(struct.ByteSize() + _VALUE_FRAME_BYTES)) is not None:
        raise _too_large(path, problem)
    value = _object(struct, path, MAX_PAYLOAD_DEPTH)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if (problem := too_large_as_json(text)) is not None:
        raise _too_large(path, problem)
    return text


def _too_large(path: str, problem: SizeProblem) -> Exception:
    return invalid_argument(
        PAYLOAD_TOO_LARGE,
        f"{path} {problem}",
        FieldViolation(path, f"over {problem.limit_bytes:,} bytes as {problem.form}"),
        metadata={"size_bytes": str(problem.size_bytes), "limit_bytes": str(problem.limit_bytes)},
    )


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
    """Return the stored JSON of an object as a Struct, or None if it is not an object or no client could
    read it.
    """
    value = value_message(text)
    return value.struct_value if value is not None and value.HasField("struct_value") else None


def value_message(text: str) -> Value | None:
    """Return stored JSON as a Value, or None if no client could read it.

    Such JSON is nested too deeply, or too large as a Value. A fan-out's list of outputs may be, if its items
    are at the limit. So may be JSON that an earlier release stored.
    """
    bytes_ = value_bytes(text)
    return None if bytes_ is None else Value.FromString(bytes_)


def value_bytes(text: str) -> bytes | None:
    """Return the bytes of `value_message`, several times faster than the message itself."""
    plain = json.loads(text)
    if too_deep(plain, text):
        return None
    bytes_ = encoded(plain)
    return bytes_ if len(bytes_) <= MAX_PAYLOAD_VALUE_BYTES else None
