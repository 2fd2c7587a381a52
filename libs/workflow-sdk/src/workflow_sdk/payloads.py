"""The rules for payloads, and their form as JSON bytes; knows nothing of gRPC or protobuf.

A payload is what JSON can say: None, bool, int, float, str, lists (or tuples) and dicts with str keys, at
most 32 within one another. `workflow_contract.payloads` says what is refused, as in every service. Outputs
may have keys that are numbers, bools or None: JSON makes texts of them. Two keys that become the same text
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

    A float stays a float, however large: JSON bytes keep it. Costs little more than `json.dumps`.
    """
    try:
        encoded = _encode.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        _check(value, what, _OUTPUT)
        raise PayloadError(f"{what} is not JSON: {error}") from None
    # What follows is rare: the value is looked through only if a quick look or its bytes call for it.
    brackets = encoded.count(b"[") + encoded.count(b"{")
    deep = brackets > MAX_PAYLOAD_DEPTH and is_deeper(value, MAX_PAYLOAD_DEPTH)
    if deep or not is_plain(value) or b"\\u0000" in encoded:
        _check(value, what, _OUTPUT)
    return encoded


def from_json(data: bytes) -> Any:
    """The value of JSON bytes as the service sent them; nothing at all is None."""
    return json.loads(data) if data else None


def check(value: Any, what: str) -> None:
    """Raise PayloadError for the first thing in `value` that no input and no definition may hold.

    Its place begins with `what`. A whole float between 2^53 and 1e21 is refused too: inputs and definitions
    travel in a Struct, where it looks like an integer that has lost digits.
    """
    _check(value, what, _INPUT)


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise PayloadError for the first label whose name or value is no text that can be stored."""
    _check(dict(labels), "labels", _INPUT)
    for name, value in labels.items():
        if not isinstance(value, str):
            raise PayloadError(f"labels.{name} is {value!r}, which is no text: make it a string")


def _check(value: Any, what: str, rules: Rules) -> None:
    if (problem := find_problem(value, what, rules)) is not None:
        raise PayloadError(str(problem))
