"""A compiled JSON Schema. It never reads other documents, and it matches patterns in linear time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, NoReturn, TypeAlias

import jsonschema_rs

from workflow_schemas.cost import Cost, TooCostlyError, cost_of
from workflow_schemas.limits import (
    FAULT_STEPS,
    MAX_FAULTS,
    MAX_INLINE_STEPS,
    MAX_PATTERN_BYTES,
    MAX_PROBLEM_CHARACTERS,
    MAX_VIOLATIONS,
)

Violation: TypeAlias = tuple[str, str, str]
"""The path in the value (`input.order.total`), the problem, and the rule (`properties/total/minimum`)."""


class CompiledSchema:
    """A compiled schema. The constructor raises ValueError if the schema is not valid.

    The validator keeps Python's global lock during one check. So before a check on an event loop, call
    `is_quick` and `describes_quickly`. Both compute upper bounds.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_refuse,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES),
        )
        try:
            self._cost: Cost | None = cost_of(schema)
        except TooCostlyError:
            self._cost = None

    def is_quick(self, size_bytes: int) -> bool:
        """Return whether `fits` takes at most about 30 ms for any value of this size as JSON."""
        return self._cost is not None and self._cost.steps(size_bytes) <= MAX_INLINE_STEPS

    def describes_quickly(self, size_bytes: int) -> bool:
        """Return whether `violations` takes at most about 30 ms for any value of this size as JSON."""
        return self.is_quick(size_bytes) and FAULT_STEPS * self._faults(size_bytes) <= MAX_INLINE_STEPS

    def fits(self, value: Any) -> bool:
        """Return whether a value satisfies the schema. Stop at the first violation."""
        return bool(self._validator.is_valid(value))

    def violations(self, value: Any, size_bytes: int, root: str) -> list[Violation]:
        """Return at most 20 violations of a value that does not fit. `root` is the value's name in the paths.

        The validator finds all violations before it returns the first one. So if the value can have more
        than MAX_FAULTS violations, ask it only for the first one.
        """
        if self._faults(size_bytes) <= MAX_FAULTS:
            return [_violation(root, each) for each in islice(self._errors(value), MAX_VIOLATIONS)]
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [_violation(root, error)]
        return []

    def _errors(self, value: Any) -> Any:
        return self._validator.iter_errors(value)

    def _faults(self, size_bytes: int) -> int:
        return MAX_FAULTS + 1 if self._cost is None else self._cost.faults(size_bytes)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}, and schemas of other places are not read")


def _violation(root: str, error: Any) -> Violation:
    rule = "/".join(map(str, error.schema_path))
    return _cut(_path(root, error.instance_path)), _cut(str(error.message)), _cut(rule)


def _path(root: str, steps: Sequence[str | int]) -> str:
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _cut(text: str) -> str:
    """Keep the beginning and the end. The end says what is wrong: `<value> is longer than 5 characters`."""
    if len(text) <= MAX_PROBLEM_CHARACTERS:
        return text
    half = MAX_PROBLEM_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"
