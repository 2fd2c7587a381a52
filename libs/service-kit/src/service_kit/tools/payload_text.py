"""Values that cannot be stored: a text with a NUL, which PostgreSQL refuses, and a `Struct` that is nested
too deeply, or has a number that JSON does not have or that may have lost digits.

Half a surrogate pair needs no check: protobuf refuses it, on the wire and when a field is set. The parser
limits nesting too. A string can hold a NUL only if the bytes of the message do, so `may_hold_nul` spares most
messages the search.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from workflow_contract.limits import MAX_MESSAGE_DEPTH
from workflow_contract.payloads import problem_of_double, words

from service_kit.errors import FIELD_INVALID, PAYLOAD_INVALID, FieldViolation

NUL = "\x00"
_TOO_DEEP = words.too_deep(MAX_MESSAGE_DEPTH)

M = TypeVar("M", bound=Message)
Finding = tuple[str, str, bool]  # path, what is wrong, whether it is inside a Struct


def may_hold_nul(wire_bytes: bytes) -> bool:
    """Return whether a message of these bytes may hold a string with a NUL. The test is very cheap."""
    return b"\x00" in wire_bytes


def find_bad_text(message: Message) -> FieldViolation | None:
    """Return the first value of `message`, at any depth, that cannot be stored, or None.

    The path is the path in JSON: `input.items[2].name`, not `input.fields...`.
    """
    finding = _in_message(message)
    if finding is None:
        return None
    path, description, in_payload = finding
    return FieldViolation(path.lstrip("."), description, PAYLOAD_INVALID if in_payload else FIELD_INVALID)


def without_payloads(message: M) -> M:
    """Return a copy whose Structs, Values and ListValues are empty.

    No rule of a contract reads them, but the library of the rules takes 4 µs for each value in them: over a
    second for the largest message.
    """
    copy = type(message)()
    copy.CopyFrom(message)
    _empty_payloads(copy)
    return copy


def _empty_payloads(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                continue
            values = value.values()
        else:
            values = value if field.is_repeated else (value,)
        for each in values:
            if each.DESCRIPTOR.full_name in _PAYLOADS:
                each.Clear()
            else:
                _empty_payloads(each)


def _in_message(message: Message) -> Finding | None:
    name = message.DESCRIPTOR.full_name
    if name in _PAYLOADS:
        return _as_payload(_PAYLOADS[name](message, 1))
    kinds = _text_fields(message.DESCRIPTOR)
    if not kinds:
        return None
    for field, value in message.ListFields():
        look = kinds.get(field.number)
        if look is not None and (finding := look(value)) is not None:
            path, description, in_payload = finding
            return f".{field.name}{path}", description, in_payload
    return None


@cache
def _text_fields(descriptor: Descriptor) -> dict[int, Any]:
    """Return the fields that can hold text, by number, each with the function that checks it."""
    looks: dict[int, Any] = {}
    for field in descriptor.fields:
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                looks[field.number] = _in_map
            else:
                looks[field.number] = _in_list if field.is_repeated else _in_message
        elif field.type == FieldDescriptor.TYPE_STRING:
            looks[field.number] = _in_list if field.is_repeated else _in_text
    return looks


def _in_any(value: Any) -> Finding | None:
    if isinstance(value, str):
        return _in_text(value)
    return _in_message(value) if isinstance(value, Message) else None


def _in_text(text: str) -> Finding | None:
    problem = _problem(text)
    return None if problem is None else ("", problem, False)


def _in_list(values: Any) -> Finding | None:
    for index, value in enumerate(values):
        if (finding := _in_any(value)) is not None:
            path, description, in_payload = finding
            return f"[{index}]{path}", description, in_payload
    return None


def _in_map(entries: Any) -> Finding | None:
    for key, value in entries.items():
        if isinstance(key, str) and (problem := _problem(key)) is not None:
            return "", words.bad_key(problem), False
        if (finding := _in_any(value)) is not None:
            path, description, in_payload = finding
            return f".{key}{path}", description, in_payload
    return None


def _problem(text: str) -> str | None:
    return words.HAS_NUL if NUL in text else None


def _as_payload(found: tuple[str, str] | None) -> Finding | None:
    return None if found is None else (*found, True)


def _in_struct(struct: Any, depth: int) -> tuple[str, str] | None:
    if depth > MAX_MESSAGE_DEPTH:
        return "", _TOO_DEEP
    for key, value in struct.fields.items():
        if (problem := _problem(key)) is not None:
            return "", words.bad_key(problem)
        if (found := _in_value(value, depth)) is not None:
            return f".{key}{found[0]}", found[1]
    return None


def _in_list_value(values: Any, depth: int) -> tuple[str, str] | None:
    if depth > MAX_MESSAGE_DEPTH:
        return "", _TOO_DEEP
    for index, value in enumerate(values.values):
        if (found := _in_value(value, depth)) is not None:
            return f"[{index}]{found[0]}", found[1]
    return None


def _in_value(value: Any, depth: int) -> tuple[str, str] | None:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        problem = _problem(value.string_value)
        return None if problem is None else ("", problem)
    if kind == "number_value":
        problem = problem_of_double(value.number_value)
        return ("", problem) if problem else None
    if kind == "struct_value":
        return _in_struct(value.struct_value, depth + 1)
    if kind == "list_value":
        return _in_list_value(value.list_value, depth + 1)
    return None


_PAYLOADS = {
    "google.protobuf.Struct": _in_struct,
    "google.protobuf.Value": _in_value,
    "google.protobuf.ListValue": _in_list_value,
}
