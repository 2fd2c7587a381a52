"""How much work a JSON Schema can make of a small input.

Parts that apply to the same value (`allOf`, `anyOf`, `$ref`, ...) multiply: a chain of ten definitions that
each refer to the next one twice is 1,024 checks of one value, and one that refers to itself twice, within
`properties`, doubles with every level of the input. So for every place that an input can have, down to the
depth that inputs may have, the parts that apply there are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import (
    MAX_DEFINITION_DEPTH,
    MAX_SCHEMA_CHAIN,
    MAX_SCHEMA_CHECKS,
    MAX_SCHEMA_PLACES,
)
from workflow_catalog.domain.validation.schema_refs import target

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLES: Final = ("not", "if", "then", "else")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")

Parts: TypeAlias = Counter[int]
"""How often each part of the schema applies at one place, by the part's number."""


class TooCostlyError(Exception):
    """The schema could take too long; the text says why."""


def check_cost(schema: Json) -> None:
    """Raises TooCostlyError. `schema` must be valid. Takes at most about 0.1 s."""
    counting = _Counting(schema)
    places = [counting.in_place(schema)]
    seen: set[frozenset[tuple[int, int]]] = set()
    for _ in range(MAX_DEFINITION_DEPTH):
        below = []
        for parts in places:
            for inner in counting.children(parts):
                state = frozenset(inner.items())
                if inner and state not in seen:
                    seen.add(state)
                    below.append(inner)
                if len(seen) > MAX_SCHEMA_PLACES:
                    raise TooCostlyError("has too many parts: make it smaller, or check less")
        places = below


class _Counting:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._numbers: dict[int, int] = {}
        self._schemas: list[Mapping[str, Json]] = []
        self._depth = 0
        self._known: dict[int, Parts | None] = {}
        """The parts below each part, itself included; None while they are being counted."""

    def in_place(self, schema: Json) -> Parts:
        """The parts that apply to the value that `schema` applies to."""
        if not isinstance(schema, Mapping):
            return Counter()
        number = self._number(schema)
        if number not in self._known:
            self._known[number] = None
            self._depth += 1
            if self._depth > MAX_SCHEMA_CHAIN:
                raise TooCostlyError(f"has parts in parts, over {MAX_SCHEMA_CHAIN} deep: make it flatter")
            self._known[number] = self._count(number, schema)
            self._depth -= 1
        known = self._known[number]
        if known is None:
            raise TooCostlyError("refers to itself for the same value, which never ends: remove the circle")
        return known

    def children(self, parts: Parts) -> Iterator[Parts]:
        """The parts that apply at each place right below: at every key and index that is named, and at any
        other.
        """
        schemas = [(self._schemas[number], times) for number, times in parts.items()]
        names = {name for schema, _ in schemas for name in schema.get("properties", ())}
        indexes = max((len(schema.get("prefixItems", ())) for schema, _ in schemas), default=0)
        for name in (*names, None):
            yield self._sum((each, times) for schema, times in schemas for each in _of_key(schema, name))
        for index in range(indexes + 1):
            yield self._sum((each, times) for schema, times in schemas for each in _of_index(schema, index))

    def _number(self, schema: Mapping[str, Json]) -> int:
        number = self._numbers.setdefault(id(schema), len(self._schemas))
        if number == len(self._schemas):
            self._schemas.append(schema)
        return number

    def _count(self, number: int, schema: Mapping[str, Json]) -> Parts:
        inner = [each for keyword in _LISTS for each in schema.get(keyword, ())]
        inner += [schema[keyword] for keyword in _SINGLES if keyword in schema]
        inner += schema.get("dependentSchemas", {}).values()
        if "$ref" in schema:
            inner.append(target(schema["$ref"], self._root))
        # These look at the other parts once more.
        times = 2 if any(keyword in schema for keyword in _UNEVALUATED) else 1
        return self._sum((each, times) for each in inner) + Counter({number: 1})

    def _sum(self, schemas: Iterator[tuple[Json, int]]) -> Parts:
        total: Parts = Counter()
        size = 0
        for schema, times in schemas:
            for number, count in self.in_place(schema).items():
                total[number] += count * times
                size += count * times
            if size > MAX_SCHEMA_CHECKS:
                raise TooCostlyError(
                    f"checks one value over {MAX_SCHEMA_CHECKS} times, through parts that refer to parts: "
                    "refer to each of them once"
                )
        return total


def _of_key(schema: Mapping[str, Json], name: str | None) -> Iterator[Json]:
    """What applies to the value at a key; None is any that is not named."""
    properties = schema.get("properties", {})
    if name in properties:
        yield properties[name]
    elif "additionalProperties" in schema:
        yield schema["additionalProperties"]
    yield from schema.get("patternProperties", {}).values()
    for keyword in ("unevaluatedProperties", "propertyNames"):
        if keyword in schema:
            yield schema[keyword]


def _of_index(schema: Mapping[str, Json], index: int) -> Iterator[Json]:
    prefix = schema.get("prefixItems", ())
    if index < len(prefix):
        yield prefix[index]
    elif "items" in schema:
        yield schema["items"]
    for keyword in ("contains", "unevaluatedItems"):
        if keyword in schema:
            yield schema[keyword]
