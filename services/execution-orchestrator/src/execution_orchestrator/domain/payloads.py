"""Payloads: inputs and outputs as JSON text, and what can't be stored or read back."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from workflow_expressions.payload_size import may_exceed, size_of_value

from execution_orchestrator.domain.failure import PAYLOAD_INVALID, PAYLOAD_TOO_LARGE, Failure
from execution_orchestrator.domain.limits import (
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOAD_DEPTH,
    MAX_PAYLOAD_VALUE_BYTES,
)

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        raise ValueError(f"{shown} is too large for a number: the largest is about 1.8e308")
    return number


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_FINITE_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


@dataclass(frozen=True, slots=True)
class CheckedPayload:
    """A payload from outside after its check: the value, or the problem that forbids to keep the text."""

    text: str
    value: Any = None
    problem: Failure | None = None


def dump(value: Any) -> str:
    """Return the value as it is stored: compact JSON.

    Raise ValueError if it holds an infinite number or NaN, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def problem_of_size(text: str, what: str) -> Failure | None:
    """Return why a payload is too large to be kept as JSON; None if it is not."""
    if len(text) * 4 <= MAX_PAYLOAD_BYTES or (size := size_bytes(text)) <= MAX_PAYLOAD_BYTES:
        return None
    return _too_large(what, size, MAX_PAYLOAD_BYTES, "JSON", "pass a reference instead of the data")


def problem_of_value_size(value: Any, text: str, what: str) -> Failure | None:
    """Return why a payload is too large to be read back as a `google.protobuf.Value`; None if it is not.

    `text` is the JSON of `value`. Most payloads are small, which the length of the text shows at once; to
    count the others takes up to 100 ms.
    """
    if not may_exceed(text, MAX_PAYLOAD_VALUE_BYTES):
        return None
    size = size_of_value(value)
    if size <= MAX_PAYLOAD_VALUE_BYTES:
        return None
    advice = "a number takes 11 bytes there, so join many small values into one text, or pass a reference"
    return _too_large(what, size, MAX_PAYLOAD_VALUE_BYTES, "google.protobuf.Value", advice)


def _too_large(what: str, size: int, limit: int, form: str, advice: str) -> Failure:
    message = f"{what} has {size:,} bytes as {form}, but at most {limit:,} are allowed; {advice}"
    return Failure(PAYLOAD_TOO_LARGE, message, non_retryable=True)


def problem_of_depth(value: Any, text: str, what: str) -> Failure | None:
    """Why a payload is nested too deeply to be read back; `text` is its JSON."""
    return _too_deep(what) if too_deep(value, text) else None


def too_deep(value: Any, text: str) -> bool:
    """Return whether a payload is nested too deeply to be read back; `text` is its JSON."""
    brackets = text.count("[") + text.count("{")
    return brackets > MAX_PAYLOAD_DEPTH and _deeper(value, MAX_PAYLOAD_DEPTH)


def checked(text: str, what: str) -> CheckedPayload:
    """Parse a payload from outside, once, and check everything that could keep it from being stored.

    Takes about 10 ms for 1 MiB, and up to 100 ms if it has 100,000 values or more. May be repeated.
    """
    try:
        problem = problem_of_size(text, what)
        return CheckedPayload(text, problem=problem) if problem is not None else _parsed(text, what)
    except UnicodeEncodeError:
        problem = _invalid(f"{what} holds half of a surrogate pair, which is no Unicode text; remove it")
        return CheckedPayload(text, problem=problem)


def problem_of(text: str, what: str) -> Failure | None:
    """Return why a payload from outside cannot be kept; None if it can."""
    return checked(text, what).problem


def _parsed(text: str, what: str) -> CheckedPayload:
    try:
        value = _decoded(text)
    except ValueError as error:
        problem = _invalid(f"{what} is not JSON: {error}; return what json.dumps takes")
        return CheckedPayload(text, problem=problem)
    except RecursionError:
        return CheckedPayload(text, problem=_too_deep(what))
    if (deep := problem_of_depth(value, text, what)) is not None:
        return CheckedPayload(text, problem=deep)
    if "\\u" in text and _ESCAPED_NUL.search(text):
        return CheckedPayload(text, problem=_invalid(f"{what} holds a NUL character; remove it"))
    (dump(value) if "\\u" in text else text).encode()  # fails on a lone surrogate, which an escape may hide
    if (large := problem_of_value_size(value, text, what)) is not None:
        return CheckedPayload(text, problem=large)
    return CheckedPayload(text, value)


def _decoded(text: str) -> Any:
    """Parse JSON. Raise ValueError if it is none, or if a number in it is too large for a double.

    The parser makes infinity of such a number. It costs less to look through the values than to check the
    text of every number, so the text is parsed a second time only to name the number.
    """
    value = _DECODER.decode(text)
    return _FINITE_DECODER.decode(text) if _holds_infinity(value) else value


def _holds_infinity(value: Any) -> bool:
    layer = [value]
    while layer:
        each = layer.pop()
        kind = type(each)
        if kind is float:
            if math.isinf(each):
                return True
        elif kind is list:
            layer.extend(each)
        elif kind is dict:
            layer.extend(each.values())
    return False


def _too_deep(what: str) -> Failure:
    return _invalid(f"{what} is nested over {MAX_PAYLOAD_DEPTH} levels; make it flatter")


def _invalid(message: str) -> Failure:
    return Failure(PAYLOAD_INVALID, message, non_retryable=True)


def size_bytes(text: str) -> int:
    """What a payload takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in one another more often than that; goes level by level."""
    layer = [value] if isinstance(value, list | dict) else []
    for _ in range(levels):
        layer = [child for each in layer for child in _children(each) if isinstance(child, list | dict)]
    return bool(layer)


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value
