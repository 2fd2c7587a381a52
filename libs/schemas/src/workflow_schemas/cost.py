"""Compute an upper bound of the work that a value of a given size can cause in a JSON Schema.

Parts that apply to the same value (`allOf`, `anyOf`, `$ref`, ...) multiply. A chain of ten definitions, each
of which refers to the next one twice, causes 1,024 checks of one value. A definition that refers to itself
twice, within `properties`, doubles the checks with every level of the value. So this module counts the parts
that apply at every place within a value, down to the maximum depth of values.

Each part costs some steps for each value that it applies to: one for each keyword, ten for each object that
`enum` compares, and so on. Every value and every key has at least one byte as JSON. So the steps for a value
are at most its bytes times the steps of the most expensive place. The tests check that the bound holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from workflow_schemas.limits import (
    MAX_DEPTH,
    MAX_SCHEMA_CHAIN,
    MAX_SCHEMA_CHECKS,
    MAX_SCHEMA_PLACES,
    PATTERN_STEPS,
)
from workflow_schemas.references import Json, target

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLES: Final = ("not", "if", "then", "else")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")

Parts: TypeAlias = Counter[int]
"""How often each part of the schema applies at one place, by the part's number."""


class TooCostlyError(Exception):
    """No bound can be computed, because parts multiply too often. The message says which parts."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of checking a value, by its size as JSON. A step takes up to 25 ns on an idle processor."""

    steps_per_byte: int
    faults_per_byte: int
    squared: bool
    """True if a part checks the whole value again for each of its items."""

    def steps(self, size_bytes: int) -> int:
        """Return the most steps that it takes to find out whether the value fits."""
        return self.steps_per_byte * size_bytes * (size_bytes if self.squared else 1)

    def faults(self, size_bytes: int) -> int:
        """Return the most violations that the value can have."""
        return self.faults_per_byte * size_bytes


def cost_of(schema: Json) -> Cost:
    """Return the cost of a valid schema. Raise TooCostlyError if it has no bound. Takes at most about 0.1 s.

    The cost does not include `$dynamicRef` and anchors, because publish refuses them.
    """
    counting = _Counting(schema)
    places = [counting.in_place(schema)]
    steps, faults = map(max, zip(*map(counting.own, places), strict=True))
    seen: set[frozenset[tuple[int, int]]] = set()
    for _ in range(MAX_DEPTH):
        below = []
        for parts in places:
            for inner in counting.children(parts):
                state = frozenset(inner.items())
                if inner and state not in seen:
                    seen.add(state)
                    below.append(inner)
                    own = counting.own(inner)
                    steps, faults = max(steps, own.steps), max(faults, own.faults)
                if len(seen) > MAX_SCHEMA_PLACES:
                    raise TooCostlyError("has too many parts: make it smaller, or check less")
        places = below
    return Cost(max(steps, 1), max(faults, 1), counting.squared)


class _Own(NamedTuple):
    """The cost of a part alone, for each value that it applies to."""

    steps: int
    faults: int


class _Counting:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._numbers: dict[int, int] = {}
        self._schemas: list[Mapping[str, Json]] = []
        self._owns: list[_Own] = []
        self.squared = False
        self._depth = 0
        self._known: dict[int, Parts | None] = {}
        """For each part, the part itself and all parts below it; None while they are being counted."""

    def in_place(self, schema: Json) -> Parts:
        """Return all parts that apply to the same value as `schema`."""
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
        """Yield the parts that apply at each place directly below.

        The places are every key and index that the schema names, and one place for all others.
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
            self._owns.append(_Own(_steps(schema), _faults(schema)))
            self.squared |= "unevaluatedItems" in schema
        return number

    def own(self, parts: Parts) -> _Own:
        """Return the cost of one value at a place with these parts, without the values inside it."""
        steps = sum(self._owns[number].steps * times for number, times in parts.items())
        return _Own(steps, sum(self._owns[number].faults * times for number, times in parts.items()))

    def _count(self, number: int, schema: Mapping[str, Json]) -> Parts:
        inner = [each for keyword in _LISTS for each in schema.get(keyword, ())]
        inner += [schema[keyword] for keyword in _SINGLES if keyword in schema]
        inner += schema.get("dependentSchemas", {}).values()
        if "$ref" in schema:
            inner.append(target(schema["$ref"], self._root))
        # These keywords evaluate the other parts a second time.
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
    """Yield the schemas that apply to the value at a key. None means every other key."""
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


PART_STEPS: Final = 4
NODE_STEPS: Final = 10
"""Steps to compare a value with a constant, for each list, object or scalar in the constant."""
MULTIPLE_STEPS: Final = 400
"""Steps for `multipleOf`, which divides fractions of any size."""
UNIQUE_STEPS: Final = 64
"""Steps for `uniqueItems`, which compares up to 15 items with each other and hashes longer lists, at up to 32
levels."""


def _steps(schema: Mapping[str, Json]) -> int:
    patterns = len(schema.get("patternProperties", ())) + ("pattern" in schema)
    return (
        PART_STEPS
        + len(schema)
        + PATTERN_STEPS * patterns
        + MULTIPLE_STEPS * ("multipleOf" in schema)
        + UNIQUE_STEPS * ("uniqueItems" in schema)
        + NODE_STEPS * (_nodes_of_enum(schema.get("enum", ())) + _nodes(schema.get("const")))
        + _entries(schema)
    )


def _faults(schema: Mapping[str, Json]) -> int:
    """Return the most violations of the part itself. One that quotes a large constant counts as several."""
    quoted = _nodes(schema.get("enum")) + _nodes(schema.get("const"))
    return 1 + len(schema) + len(schema.get("required", ())) + _entries(schema) + quoted // NODE_STEPS


def _entries(schema: Mapping[str, Json]) -> int:
    """Return the number of keys that the schema looks up in every object."""
    required = schema.get("dependentRequired", {}).values()
    return sum(1 + len(names) for names in required) + len(schema.get("dependentSchemas", ()))


def _nodes_of_enum(members: Any) -> int:
    """Return the number of nodes to compare a value with. A hash finds strings, or whole numbers, at once."""
    if len({type(each) for each in members}) == 1 and isinstance(members[0], str | int):
        return 1
    return sum(map(_nodes, members))


def _nodes(value: Json) -> int:
    """Return the number of values within a value, including itself. A long string counts as several."""
    total, pending = 0, [value]
    while pending:
        each = pending.pop()
        total += 1
        if isinstance(each, str):
            total += len(each) // 64
        elif isinstance(each, list):
            pending += each
        elif isinstance(each, dict):
            total += sum(1 + len(key) // 64 for key in each)
            pending += each.values()
    return total
