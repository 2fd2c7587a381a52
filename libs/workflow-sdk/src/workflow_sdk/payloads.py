"""Checks payloads and encodes them as JSON. It does not need gRPC or protobuf.

A payload is a JSON value: None, bool, int, float, str, lists (or tuples) and dicts with str keys, nested at
most 32 levels deep. `workflow_contract.payloads` has the rules, for this library and for every service. Keys
of outputs may also be numbers, bools or None, which JSON turns into texts. Two keys that become the same text
are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workflow_contract.limits import MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import Rules, find_problem, is_deeper, is_plain

_INPUT = Rules(through_struct=True)
_OUTPUT = Rules(text_keys=False)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=True, separators=(",", ":"))


class PayloadError(ValueError):
    """The value can't be a payload; the text names the place (`output.items[2].price`) and what to do."""


def to_json(value: Any, what: str = "output") -> bytes:
    """Return the value as JSON bytes. Raise PayloadError, naming the place within `what`.

    A float stays a float, even a large one: JSON keeps it. The cost is little more than that of `json.dumps`.
    """
    try:
        encoded = _encode.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        _check(value, what, _OUTPUT)
        raise PayloadError(f"{what} is not JSON: {error}") from None
    # Check the whole value only if its type or its bytes show that this is needed, which is rare.
    brackets = encoded.count(b"[") + encoded.count(b"{")
    deep = brackets > MAX_PAYLOAD_DEPTH and is_deeper(value, MAX_PAYLOAD_DEPTH)
    if deep or not is_plain(value) or b"\\u0000" in encoded:
        _check(value, what, _OUTPUT)
    return encoded


def from_json(data: bytes) -> Any:
    """Return the value of JSON bytes; None for empty bytes."""
    return json.loads(data) if data else None


def check(value: Any, what: str) -> None:
    """Raise PayloadError for the first part of `value` that an input or a definition can't hold.

    The error names its place, beginning with `what`. A whole float between 2^53 and 1e21 is refused too:
    inputs and definitions are sent in a Struct, in which it looks like an integer that lost digits.
    """
    _check(value, what, _INPUT)


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise PayloadError for the first label with a name or value that is not a storable text."""
    _check(dict(labels), "labels", _INPUT)
    for name, value in labels.items():
        if not isinstance(value, str):
            raise PayloadError(f"labels.{name} is {value!r}, which is no text: make it a string")


def _check(value: Any, what: str, rules: Rules) -> None:
    if (problem := find_problem(value, what, rules)) is not None:
        raise PayloadError(str(problem))
