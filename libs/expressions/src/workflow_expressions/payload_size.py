"""Encode JSON as the bytes of a `google.protobuf.Value`, and compute the number of these bytes.

A Value can be 5.5 times as large as its JSON text. For example, a one-digit number in a list takes 11 bytes
in a Value, but only 2 in JSON, with its comma. So both forms of a payload have a limit. The catalog and the
orchestrator both count with this module. It does not import protobuf, so that their domains can use it.

An integer beyond MAX_WHOLE becomes a string, and so does infinity.

`encoded` takes about 0.2 µs for a number in a list of numbers and about 1 µs for any other value. Building
the same protobuf message value by value takes several times as long.
"""

import struct
from collections.abc import Callable
from itertools import chain, repeat
from math import isfinite
from typing import Any, Final

from workflow_contract.payloads import MAX_WHOLE

GROWTH: Final = 5.5
"""The most bytes of a Value per byte of JSON, if the JSON has over a hundred bytes."""

_MAX_OVERHEAD_BYTES: Final = 16
"""The most bytes that one value takes beyond its JSON text: tags, lengths, and the 8 bytes of a number."""

_MANY: Final = 16
_NULL, _TRUE, _FALSE = b"\x08\x00", b"\x20\x01", b"\x20\x00"
_NUMBER = b"\x11"
_NUMBER_BYTES: Final = 9
_NUMBER_IN_LIST: Final = b"\x0a\x09\x11"
_NUMBER_IN_LIST_BYTES: Final = 11
_double: Final[Callable[[float], bytes]] = struct.Struct("<d").pack


def encoded(value: Any) -> bytes:
    """Return the bytes of the Value of plain JSON (None, bool, int, float, str, list, dict).

    Raise TypeError for anything else, and UnicodeEncodeError for half of a surrogate pair.
    """
    kind = type(value)
    if kind is str:
        text: bytes = value.encode()
        return b"\x1a" + _length(len(text)) + text
    if kind is int:
        return _NUMBER + _double(value) if -MAX_WHOLE <= value <= MAX_WHOLE else encoded(str(value))
    if kind is float:
        return _NUMBER + _double(value) if isfinite(value) else encoded(str(value))
    if kind is dict:
        fields = _fields(value)
        return b"\x2a" + _length(len(fields)) + fields
    if kind is list:
        values = _numbers(value) if _are_numbers(value) else _values(value)
        return b"\x32" + _length(len(values)) + values
    if value is None:
        return _NULL
    if kind is bool:
        return _TRUE if value else _FALSE
    raise TypeError(f"{kind.__name__} is not a type of JSON; pass a value that json.loads returns")


def size_of_value(value: Any) -> int:
    """Return `len(encoded(value))`, in about half of the time. Raise as `encoded` does."""
    kind = type(value)
    if kind is str:
        return _with_length(_size_of_text(value))
    if kind is int:
        in_double = -MAX_WHOLE <= value <= MAX_WHOLE
        return _NUMBER_BYTES if in_double else _with_length(len(str(value)))
    if kind is float:
        return _NUMBER_BYTES if isfinite(value) else _with_length(len(str(value)))
    if kind is dict:
        total = 0
        for key, each in value.items():
            total += _with_length(_with_length(_size_of_text(key)) + _with_length(size_of_value(each)))
        return _with_length(total)
    if kind is list:
        if _are_numbers(value):
            return _with_length(len(value) * _NUMBER_IN_LIST_BYTES)
        return _with_length(sum([_with_length(size_of_value(each)) for each in value]))
    if value is None or kind is bool:
        return len(_NULL)
    raise TypeError(f"{kind.__name__} is not a type of JSON; pass a value that json.loads returns")


def may_exceed(text: str, max_bytes: int) -> bool:
    """Return whether the Value of this JSON text could have more than `max_bytes`.

    False is certain. It takes microseconds for a short text, and about 1 ms for 1 MiB.
    """
    if len(text) * 4 * GROWTH <= max_bytes:
        return False
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    if size * GROWTH <= max_bytes:
        return False
    values = text.count(",") + text.count("[") + text.count("{") + 1
    return size + values * _MAX_OVERHEAD_BYTES > max_bytes


def _fields(fields: dict[str, Any]) -> bytes:
    parts = []
    for name, each in fields.items():
        key, value = name.encode(), encoded(each)
        entry = b"\x0a" + _length(len(key)) + key + b"\x12" + _length(len(value)) + value
        parts.append(b"\x0a" + _length(len(entry)))
        parts.append(entry)
    return b"".join(parts)


def _values(values: list[Any]) -> bytes:
    parts = []
    for each in values:
        value = encoded(each)
        parts.append(b"\x0a" + _length(len(value)))
        parts.append(value)
    return b"".join(parts)


def _are_numbers(values: list[Any]) -> bool:
    """Return whether all of many values are numbers that a double holds exactly.

    This is cheap, because no Python code runs for each value. For the same reason, a list with any number
    beyond 2^53 returns False.
    """
    if len(values) < _MANY or not set(map(type, values)) <= {int, float}:
        return False
    return all(map(isfinite, values)) and min(values) >= -MAX_WHOLE and max(values) <= MAX_WHOLE


def _numbers(values: list[Any]) -> bytes:
    pairs = chain.from_iterable(zip(repeat(_NUMBER_IN_LIST), values))
    return struct.pack("<" + "3sd" * len(values), *pairs)


def _size_of_text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _with_length(size: int) -> int:
    """Return the bytes of a field with `size` bytes of content: its tag, its length, and the content."""
    if size < 0x80:
        return size + 2
    if size < 0x4000:
        return size + 3
    return size + (4 if size < 0x20_0000 else 5 if size < 0x1000_0000 else 6)


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < len(_LENGTHS) else _varint(size)


def _varint(number: int) -> bytes:
    varint = bytearray()
    while number > 0x7F:
        varint.append(number & 0x7F | 0x80)
        number >>= 7
    varint.append(number)
    return bytes(varint)


_LENGTHS: Final = [_varint(size) for size in range(1024)]
