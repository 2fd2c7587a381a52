"""The problem with the value of a setting, in one line that says which values are valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo

MAX_VALUE_SHOWN: Final = 60

_NUMBER_FAULTS: Final = ("int_", "float_", "greater_than", "less_than", "finite_number")


def bounds_of(field: FieldInfo) -> dict[str, float]:
    """Return the bounds of a number by their names: ge, gt, le, lt."""
    names = ("ge", "gt", "le", "lt")
    return {
        name: getattr(constraint, name)
        for constraint in field.metadata
        for name in names
        if getattr(constraint, name, None) is not None
    }


def problem_of(field: FieldInfo, fault: Mapping[str, Any], *, secret: bool) -> str:
    """Return the problem as one line, with the value unless it may hold a password."""
    text = str(fault["msg"]).removeprefix("Value error, ")
    bounds = bounds_of(field)
    if bounds and str(fault["type"]).startswith(_NUMBER_FAULTS):
        text = f"must be {_kind(field)} {_range(bounds)}"
    if secret or fault["type"] == "value_error":
        return text
    return f"{text} (it is {_shown(fault['input'])})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_VALUE_SHOWN else f"{text[:MAX_VALUE_SHOWN]}...'"


def _kind(field: FieldInfo) -> str:
    return "a number" if field.annotation is float else "a whole number"


def _range(bounds: Mapping[str, float]) -> str:
    least = f"over {bounds['gt']:g}" if "gt" in bounds else f"from {bounds.get('ge', 0):,g}"
    most = f"below {bounds['lt']:g}" if "lt" in bounds else f"to {bounds.get('le', 0):,g}"
    return f"{least} {most}".replace(",", "")
