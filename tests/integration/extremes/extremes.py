"""Requests with one extreme value each, made from the descriptors: every field of a request, at any depth.

A base request is valid, and has a value wherever one fits. Each request that comes from it differs in one
field, which has a value at the edge of its type or beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INT32 = (-(2**31), -1, 0, 1, 2**31 - 1)
INT64 = (-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1)
DOUBLES = (math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 5e-324, -0.0, 0.0, 1e21)
TEXTS = (
    "",
    "\x00",
    "a\x00b",
    "x" * 100_000,
    "a" * 63,
    "\U0001f600" * 64,
    "\u0301\u202e\ufeff",
    "default\n",
    "../../etc",
    "%s%n{}$1",
    "00000000-0000-0000-0000-000000000000",
    "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "FFFFFFFF/FFFFFFFF",
    "9" * 400,
    "AAAA",
    "*",
)
BYTES = (b"", b"\x00", b"\xff\xfe", b"{", b"[NaN]", b'{"a":1e999}', b"9" * 400, b"x" * 5_000)
SPANS = (  # of Timestamp and Duration: seconds and nanoseconds
    (0, 0),
    (0, 1),
    (0, -1),
    (1, -1),
    (-1, 1),
    (1, 1_000_000_000),
    (0, 2**31 - 1),
    (0, -(2**31)),
    (315_576_000_000, 0),
    (-315_576_000_000, 0),
    (315_576_000_001, 0),
    (253_402_300_799, 999_999_999),
    (253_402_300_800, 0),
    (-62_135_596_800, 0),
    (-62_135_596_801, 0),
    (-62_135_596_800, -1),
    (2**63 - 1, 0),
    (-(2**63), 0),
    (2**63 - 1, 2**31 - 1),
)
_SCALARS: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.CPPTYPE_INT32: INT32,
    FieldDescriptor.CPPTYPE_INT64: INT64,
    FieldDescriptor.CPPTYPE_DOUBLE: DOUBLES,
    FieldDescriptor.CPPTYPE_ENUM: INT32,
    FieldDescriptor.CPPTYPE_BOOL: (False, True),
}
_SPANS = ("google.protobuf.Timestamp", "google.protobuf.Duration")
_JSON = ("google.protobuf.Struct", "google.protobuf.Value")


def variants(base: Message) -> Iterator[tuple[str, Message]]:
    """Each field that changed, by its path, and the request with it. `base` stays as it is."""
    for field in base.DESCRIPTOR.fields:
        for name, change in _changes(field, base):
            message = type(base)()
            message.CopyFrom(base)
            change(message)
            yield name, message


def _changes(field: FieldDescriptor, base: Message) -> Iterator[tuple[str, Any]]:
    yield f"{field.name} unset", lambda message: message.ClearField(field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from _in_map(field)
    elif field.is_repeated:
        yield from _in_list(field, base)
    elif field.message_type is None:
        for value in _scalars(field):
            yield f"{field.name}={_shown(value)}", lambda m, v=value: setattr(m, field.name, v)
    else:
        for name, inner in _messages(getattr(base, field.name)):
            yield f"{field.name}.{name}", lambda m, v=inner: _set(m, field.name, v)


def _set(message: Message, name: str, value: Message) -> None:
    getattr(message, name).CopyFrom(value)
    getattr(message, name).SetInParent()


def _in_map(field: FieldDescriptor) -> Iterator[tuple[str, Any]]:
    for key in TEXTS:
        yield f"{field.name}[{_shown(key)}]", lambda m, k=key: getattr(m, field.name).update({k: "v"})
        yield f"{field.name}[k]={_shown(key)}", lambda m, k=key: getattr(m, field.name).update({"k": k})
    many = {f"k{number}": "v" for number in range(1_000)}
    yield f"{field.name} of 1,000", lambda m: getattr(m, field.name).update(many)


def _in_list(field: FieldDescriptor, base: Message) -> Iterator[tuple[str, Any]]:
    def put(message: Message, values: list[Any]) -> None:
        message.ClearField(field.name)
        getattr(message, field.name).extend(values)

    present = list(getattr(base, field.name))
    if field.message_type is None:
        single = [(_shown(value), value) for value in _scalars(field)]
    else:
        single = list(_messages(present[0] if present else _empty(base, field)))
    for name, value in single:
        yield f"{field.name}[0].{name}", lambda m, v=value: put(m, [v, *present[1:]])
    if single:
        yield f"{field.name} twice", lambda m: put(m, (present or [single[0][1]]) * 2)


def _empty(base: Message, field: FieldDescriptor) -> Message:
    return getattr(type(base)(), field.name).add()


def _scalars(field: FieldDescriptor) -> tuple[Any, ...]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return BYTES
    return TEXTS if field.type == FieldDescriptor.TYPE_STRING else _SCALARS[field.cpp_type]


def _messages(base: Message) -> Iterator[tuple[str, Message]]:
    """Extreme values of a field that is a message."""
    kind = type(base)
    name = base.DESCRIPTOR.full_name
    if name in _SPANS:
        for seconds, nanos in SPANS:
            yield f"{seconds}s{nanos}ns", kind(seconds=seconds, nanos=nanos)
    elif name in _JSON:
        yield from _values(base)
    else:
        yield "empty", kind()
        yield from variants(base)


def _values(base: Message) -> Iterator[tuple[str, Message]]:
    for number in (*DOUBLES, 2.0**53 + 2, 12345678901234567890.0):
        yield f"number {number}", _json(base, number_value=number)
    for text in TEXTS:
        yield f"text {_shown(text)}", _json(base, string_value=text)
    deep = _json(base, string_value="deep")
    for _ in range(25):
        outer = type(base)()
        _members(outer)["a"].CopyFrom(deep) if _is_value(deep) else _members(outer)[
            "a"
        ].struct_value.CopyFrom(deep)
        deep = outer
    yield "deep", deep
    odd = type(base)()
    for key in ("", "\x00", "a.b", "\U0001f600"):
        _members(odd)[key].bool_value = True
    yield "odd keys", odd


def _json(base: Message, **value: Any) -> Message:
    message = type(base)()
    if _is_value(base):
        return type(base)(**value)
    ((name, content),) = value.items()
    setattr(_members(message)["a"], name, content)
    return message


def _is_value(message: Message) -> bool:
    return message.DESCRIPTOR.full_name == "google.protobuf.Value"


def _members(message: Any) -> Any:
    return message.struct_value.fields if _is_value(message) else message.fields


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 30 else f"{value!r:.20}... ({len(value)})"
