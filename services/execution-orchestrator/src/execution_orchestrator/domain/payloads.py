"""Payloads: inputs and outputs as JSON text, and what can't be stored or read back."""

import json
import re
from typing import Any, Final, NoReturn

from execution_orchestrator.domain.failure import PAYLOAD_INVALID, PAYLOAD_TOO_LARGE, Failure
from execution_orchestrator.domain.limits import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH

_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def dump(value: Any) -> str:
    """A value as it is stored: compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def problem_of_size(text: str, what: str) -> Failure | None:
    """Why a payload is too large to be kept; None where it is not."""
    if len(text) * 4 <= MAX_PAYLOAD_BYTES or size_bytes(text) <= MAX_PAYLOAD_BYTES:
        return None
    message = f"{what} is over {MAX_PAYLOAD_BYTES:,} bytes as JSON; pass a reference instead of the data"
    return Failure(PAYLOAD_TOO_LARGE, message, non_retryable=True)


def problem_of_depth(value: Any, text: str, what: str) -> Failure | None:
    """Why a payload is nested too deeply to be read back; `text` is its JSON."""
    if text.count("[") + text.count("{") <= MAX_PAYLOAD_DEPTH or not _deeper(value, MAX_PAYLOAD_DEPTH):
        return None
    return _too_deep(what)


def problem_of(text: str, what: str) -> Failure | None:
    """Why a payload from outside can't be kept; None where it can."""
    try:
        return problem_of_size(text, what) or _problem_of_json(text, what)
    except UnicodeEncodeError:
        return _invalid(f"{what} holds half of a surrogate pair, which is no Unicode text; remove it")


def _problem_of_json(text: str, what: str) -> Failure | None:
    try:
        value = _DECODER.decode(text)
    except ValueError as error:
        return _invalid(f"{what} is not JSON: {error}; return what json.dumps takes")
    except RecursionError:
        return _too_deep(what)
    if (problem := problem_of_depth(value, text, what)) is not None:
        return problem
    if "\\u" in text and _ESCAPED_NUL.search(text):
        return _invalid(f"{what} holds a NUL character; remove it")
    (dump(value) if "\\u" in text else text).encode()  # fails on a lone surrogate, which an escape may hide
    return None


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
