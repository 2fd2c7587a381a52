"""Payloads: inputs and outputs as JSON text, and the rules for what can be stored and read back."""

import json
from dataclasses import dataclass
from typing import Any

from workflow_contract.limits import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, MAX_PAYLOAD_VALUE_BYTES
from workflow_contract.payloads import ValueProblemError, is_deeper, parse, words
from workflow_expressions.payload_size import may_exceed, size_of_value

from execution_orchestrator.domain.failure import PAYLOAD_INVALID, PAYLOAD_TOO_LARGE, Failure


@dataclass(frozen=True, slots=True)
class CheckedPayload:
    """A payload from outside after its check: its value, or the problem that keeps it from being stored."""

    text: str
    value: Any = None
    problem: Failure | None = None


def dump(value: Any) -> str:
    """Return the value as it is stored: compact JSON.

    Raise ValueError for an infinite number or NaN, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class SizeProblem:
    """A payload that is too large in one of its two forms; the sentence follows the payload's name."""

    size_bytes: int
    limit_bytes: int
    form: str
    advice: str

    def __str__(self) -> str:
        return (
            f"has {self.size_bytes:,} bytes as {self.form}, but at most {self.limit_bytes:,} are allowed; "
            f"{self.advice}"
        )


def too_large_as_json(text: str) -> SizeProblem | None:
    """Return the problem of a payload that has too many bytes as JSON, or None."""
    if len(text) * 4 <= MAX_PAYLOAD_BYTES or (size := size_bytes(text)) <= MAX_PAYLOAD_BYTES:
        return None
    return SizeProblem(size, MAX_PAYLOAD_BYTES, "JSON", "pass a reference instead of the data")


def too_large_as_value(size: int) -> SizeProblem | None:
    """Return the problem of a payload of this size as a `google.protobuf.Value`, or None."""
    if size <= MAX_PAYLOAD_VALUE_BYTES:
        return None
    advice = "a number takes 11 bytes there, so join many small values into one text, or pass a reference"
    return SizeProblem(size, MAX_PAYLOAD_VALUE_BYTES, "google.protobuf.Value", advice)


def problem_of_size(text: str, what: str) -> Failure | None:
    """Return why a payload is too large to be kept as JSON; None if it is not."""
    return _too_large(what, too_large_as_json(text))


def problem_of_value_size(value: Any, text: str, what: str) -> Failure | None:
    """Return why a payload is too large to be read back as a `google.protobuf.Value`; None if it is not.

    `text` is the JSON of `value`. The length of the text shows at once that most payloads are small. To
    measure the others takes up to 100 ms.
    """
    if not may_exceed(text, MAX_PAYLOAD_VALUE_BYTES):
        return None
    return _too_large(what, too_large_as_value(size_of_value(value)))


def _too_large(what: str, problem: SizeProblem | None) -> Failure | None:
    return None if problem is None else Failure(PAYLOAD_TOO_LARGE, f"{what} {problem}", non_retryable=True)


def problem_of_depth(value: Any, text: str, what: str) -> Failure | None:
    """Return why a computed value is nested too deeply; `text` is its JSON. None if it is not."""
    return _invalid(f"{what} {words.too_deep(MAX_PAYLOAD_DEPTH)}") if too_deep(value, text) else None


def too_deep(value: Any, text: str) -> bool:
    """Return whether a payload is nested too deeply to be read back; `text` is its JSON."""
    brackets = text.count("[") + text.count("{")
    return brackets > MAX_PAYLOAD_DEPTH and is_deeper(value, MAX_PAYLOAD_DEPTH)


def checked(text: str, what: str) -> CheckedPayload:
    """Parse a payload from outside once, and check everything that could keep it from being stored.

    `what` is its name in the failure, such as `output`. The check of 1 MiB takes 5 to 200 ms.
    """
    try:
        problem = problem_of_size(text, what)
    except UnicodeEncodeError:
        problem = _invalid(f"{what} {words.HAS_SURROGATE}")
    if problem is not None:
        return CheckedPayload(text, problem=problem)
    try:
        value = parse(text, what, MAX_PAYLOAD_DEPTH)
    except ValueProblemError as error:
        return CheckedPayload(text, problem=_invalid(str(error)))
    except ValueError as error:
        problem = _invalid(f"{what} is not JSON: {error}; send one value as RFC 8259 defines it")
        return CheckedPayload(text, problem=problem)
    return CheckedPayload(text, value, problem_of_value_size(value, text, what))


def problem_of(text: str, what: str) -> Failure | None:
    """Return why a payload from outside cannot be kept; None if it can."""
    return checked(text, what).problem


def _invalid(message: str) -> Failure:
    return Failure(PAYLOAD_INVALID, message, non_retryable=True)


def size_bytes(text: str) -> int:
    """Return the size of a payload in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
