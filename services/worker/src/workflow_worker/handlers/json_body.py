"""The JSON body of an HTTP response as a value that a task's output may hold.

The author of the workflow can't change what a server sends, so an error would not help. A number that would
lose digits becomes a string with the same digits. Some bodies have no exact value: a key twice, NaN, a NUL
character, half of a surrogate pair, over 31 levels. Such a body stays text, so that nothing is lost.
"""

from __future__ import annotations

from typing import Any

from workflow_contract.limits import MAX_PAYLOAD_DEPTH
from workflow_contract.payloads import (
    LongNumber,
    Rules,
    find_problem,
    is_deeper,
    is_exact,
    is_plain,
    parse_leniently,
)

_LEVELS = MAX_PAYLOAD_DEPTH - 1
"""One level less than an output may have: the output has the body within an object."""


def value_of(text: str) -> Any:
    """Return the value of a JSON body, or the text itself if it is not JSON or has no exact value."""
    try:
        value = parse_leniently(text)
    except (ValueError, RecursionError):
        return text
    if is_deeper(value, _LEVELS):
        return text
    if is_plain(value) and "\\u" not in text:
        return value
    value = _storable(value)
    return text if find_problem(value, "body", Rules(_LEVELS)) is not None else value


def _storable(value: Any) -> Any:
    if isinstance(value, LongNumber):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if is_exact(value) else str(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if type(value) is dict:  # an object with a key twice is another type: `find_problem` finds it
        return {key: _storable(each) for key, each in value.items()}
    return value
