"""The rules for payloads, and their form as JSON bytes; knows nothing of gRPC or protobuf.

A payload is what JSON can say: None, bool, int, float, str, lists (or tuples) and dicts with str keys. NaN
and infinities, NUL characters, lone surrogates and more than 100 levels are refused, as the service would.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAXIMUM_DEPTH = 100
_HINT = "send None, bool, int, float, str, list or dict with str keys"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=True, separators=(",", ":"))


class PayloadError(ValueError):
    """The value can't be a payload; the text names the place (`output.items[2].price`) and what to do."""


def to_json(value: Any, what: str = "output") -> bytes:
    """The value as JSON bytes. Raises PayloadError naming the place within `what`."""
    try:
        encoded = _encode.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        check(value, what)
        raise PayloadError(f"{what} is not JSON: {error}; {_HINT}") from None
    # What follows is rare: the value is walked only where its bytes say that it might be needed.
    if b"\\u0000" in encoded or encoded.count(b"[") + encoded.count(b"{") > MAXIMUM_DEPTH:
        check(value, what)
    return encoded


def from_json(data: bytes) -> Any:
    """The value of JSON bytes as the service sent them; nothing at all is None."""
    return json.loads(data) if data else None


def check(value: Any, what: str) -> None:
    """Raise PayloadError for the first thing in `value` that is no payload; its place begins with `what`."""
    _check(value, what, 0)


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAXIMUM_DEPTH:
        raise PayloadError(f"{path[:200]}… is nested over {MAXIMUM_DEPTH} levels: make it flatter")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise PayloadError(f"{path} is {value}, which JSON does not have: send null or a string")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise PayloadError(f"{path} has the key {key!r}, which is no str: make it one")
            _check_text(key, f"a key of {path}")
            _check(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif value is not None and not isinstance(value, bool | int):
        raise PayloadError(f"{path} is of type {type(value).__name__}, which JSON does not have: {_HINT}")


def _check_text(text: str, path: str) -> None:
    if "\x00" in text:
        raise PayloadError(f"{path} contains a NUL character: remove it")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise PayloadError(f"{path} contains half of a surrogate pair: send valid Unicode")
