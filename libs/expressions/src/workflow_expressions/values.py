"""Convert JSON values to CEL values and back."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from workflow_contract.payloads import is_exact, shown, words

from workflow_expressions.errors import BudgetExceededError, EvaluationError
from workflow_expressions.limits import MAX_RESULT_NODES

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

_NUL = f"a string {words.HAS_NUL}"
_SURROGATE = f"a string {words.HAS_SURROGATE}"


def weigh(values: Any) -> int:
    """Return the size of bound values in bytes of JSON. Raise EvaluationError if CEL would change them.

    The CEL library cuts a string off at a NUL and fails on half of a surrogate pair, so this function looks
    for both first.
    """
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise EvaluationError(_SURROGATE) from None
    except RecursionError:
        raise EvaluationError("a value is nested too deeply: make it flatter") from None
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"a value is not JSON: {error}") from None
    if "\\u0000" in text and _holds_nul(values):
        raise EvaluationError(_NUL)
    return size


def to_json(value: Any) -> JsonValue:
    """Return a result of CEL as JSON: times as RFC 3339, durations in seconds (`1.5s`), bytes as base64.

    Raise EvaluationError for a part that JSON does not have, or that would lose digits. A result that is a
    single integer is not checked here, because it keeps its digits if it is inserted into a string. Call
    `exact` if it is used as a value.
    """
    return value if type(value) is int else _Converter().convert(value)


def exact(value: JsonValue) -> JsonValue:
    """Return a result that is used as a value. Raise EvaluationError if it is an integer beyond 2^53."""
    if type(value) is int and not is_exact(value):
        raise EvaluationError(_beyond_exact(value))
    return value


def _beyond_exact(value: int) -> str:
    return f"the result {words.beyond_exact(value)}, made with `string(...)`"


def dump(value: JsonValue) -> str:
    """Return a value as it is inserted into a string: a string as it is, anything else as compact JSON.

    Raise EvaluationError if it holds an infinite number or NaN, which JSON does not have.
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise EvaluationError(f"a value is not JSON: {error}") from None


class _Converter:
    def __init__(self) -> None:
        self._nodes_left = MAX_RESULT_NODES

    def convert(self, value: Any) -> JsonValue:
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise BudgetExceededError(f"the result has more than {MAX_RESULT_NODES:,} values: return less")
        match value:
            case str():
                return self._text(value)
            case None | bool():
                return value
            case int():
                return self._integer(value)
            case float():
                return self._number(value)
            case list():
                return [self.convert(each) for each in value]
            case dict():
                return self._object(value)
            case _:
                return self._scalar(value)

    @staticmethod
    def _text(value: str) -> str:
        if "\0" in value:
            raise EvaluationError(_NUL)
        return value

    @staticmethod
    def _number(value: float) -> float:
        if not math.isfinite(value):
            raise EvaluationError(f"the result {words.not_finite(shown(value))}; guard against it with `? :`")
        return value

    @staticmethod
    def _integer(value: int) -> int:
        if not is_exact(value):
            raise EvaluationError(_beyond_exact(value))
        return value

    def _object(self, value: dict[Any, Any]) -> JsonValue:
        members = {self._key(key): self.convert(each) for key, each in value.items()}
        if len(members) < len(value):
            raise EvaluationError(f"the result {self._keys_alike(value)}")
        return members

    def _keys_alike(self, value: dict[Any, Any]) -> str:
        written: dict[str, Any] = {}
        for key in value:
            text = self._key(key)
            if text in written:
                return words.alike(written[text], key)
            written[text] = key
        raise AssertionError("all keys differ in JSON")

    def _key(self, key: Any) -> str:
        match key:
            case str():
                return self._text(key)
            case bool():
                return "true" if key else "false"
            case _:
                return str(key)

    @staticmethod
    def _scalar(value: Any) -> JsonValue:
        match value:
            case datetime():
                return value.isoformat().replace("+00:00", "Z")
            case timedelta():
                return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
            case bytes() | bytearray():
                return base64.b64encode(value).decode()
            case _:
                raise EvaluationError(
                    f"the result is a {type(value).__name__}, which is not JSON: return its value, "
                    "with `.orValue(...)` for an optional or `string(...)` for a type"
                )


def _holds_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            if "\0" in current:
                return True
        elif isinstance(current, dict):
            pending.extend(current.keys())
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return False
