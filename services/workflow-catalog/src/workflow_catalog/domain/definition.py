"""The stored form of a definition: canonical JSON and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from workflow_contract.limits import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, MAX_PAYLOAD_VALUE_BYTES
from workflow_contract.payloads import Rules, find_problem
from workflow_expressions.payload_size import may_exceed, size_of_value

from workflow_catalog.domain.errors import DefinitionTooLargeError, DefinitionUnstorableError
from workflow_catalog.domain.problem import Problem

Json: TypeAlias = Any
"""JSON as Python objects: None, bool, int, float, str, list, dict."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A workflow's definition. Equal definitions have equal texts and hashes."""

    text: str
    """Canonical JSON of the contract's WorkflowDefinition: keys sorted and in snake_case, no blanks."""
    content_hash: str
    """SHA-256 of the text in UTF-8, in hex."""

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Definition:
        """Return the definition with this JSON.

        Raise DefinitionTooLargeError if it is too large, and DefinitionUnstorableError if PostgreSQL cannot
        store it, for example because a string contains a NUL character.
        """
        problem = _find_unstorable(value)
        if problem is not None:
            raise DefinitionUnstorableError(problem)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size_bytes = len(text.encode())
        if size_bytes > MAX_PAYLOAD_BYTES:
            raise DefinitionTooLargeError(size_bytes, MAX_PAYLOAD_BYTES)
        if may_exceed(text, MAX_PAYLOAD_VALUE_BYTES):
            size_bytes = size_of_value(value)
            if size_bytes > MAX_PAYLOAD_VALUE_BYTES:
                raise DefinitionTooLargeError(size_bytes, MAX_PAYLOAD_VALUE_BYTES, "google.protobuf.Value")
        return cls.of_text(text)

    @classmethod
    def of_text(cls, text: str) -> Definition:
        """Return the definition with this canonical text."""
        return cls(text, hashlib.sha256(text.encode()).hexdigest())

    @property
    def value(self) -> dict[str, Json]:
        """The definition as JSON. Each access parses the text again, so the caller may change the result."""
        value: dict[str, Json] = json.loads(self.text)
        return value

    def with_fields_of(self, other: Mapping[str, Json], paths: Iterable[str]) -> Definition:
        """Return this definition with the fields at `paths` (`labels`, `defaults.queue`) taken from `other`.

        Remove a field that `other` does not have. Raise as `from_json` does.
        """
        merged = self.value
        for path in paths:
            _replace(merged, other, path.split("."))
        return Definition.from_json(merged)


def _replace(target: dict[str, Json], source: Mapping[str, Json], keys: list[str]) -> None:
    key, *rest = keys
    if rest:
        below = source.get(key, {})
        _replace(target.setdefault(key, {}), below, rest)
        if not target[key] and key not in source:
            del target[key]
    elif key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _find_unstorable(definition: Mapping[str, Json]) -> Problem | None:
    """Return the first value that cannot be stored, such as invalid Unicode or too deep nesting, or None."""
    found = find_problem(definition, "", Rules(MAX_PAYLOAD_DEPTH))
    return None if found is None else Problem(found.path[:200] or "definition", found.text)
