"""Find out whether a new JSON Schema accepts every input that an old one accepts.

If the result has no narrowing, the new schema accepts every value that the old one accepts. If this cannot be
proved, the result has a narrowing too: a change that is wrongly MAJOR does less harm than a missed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from workflow_schemas import ANNOTATIONS, resolve

from workflow_catalog.domain.comparison import keywords
from workflow_catalog.domain.comparison.keywords import Schema, accepted_types, listed
from workflow_catalog.domain.definition import Json

MAX_NARROWINGS: Final = 100

Path: TypeAlias = tuple[str, ...]

_SAME_OR_UNKNOWN: Final = frozenset(
    {
        *("contains", "minContains", "maxContains", "dependentRequired", "dependentSchemas", "propertyNames"),
        *("unevaluatedProperties", "unevaluatedItems", "not", "if", "then", "else", "oneOf", "prefixItems"),
    }
)
"""Keywords that are only compared for equality."""

_NO_RULE: Final = ANNOTATIONS | {"$ref", "$defs", "definitions"}


class Narrowing(NamedTuple):
    """A part of the new schema that may refuse inputs which the old schema accepts."""

    path: Path
    """The path in the new schema."""
    reason: str
    """A sentence that says which values may be refused."""


def narrowings(old: Json, new: Json) -> list[Narrowing]:
    """Return at most 100 parts of `new` that may accept less than `old`. None accepts any object.

    Both schemas must be valid. Inputs are objects, so rules for other types at the top do not count.
    """
    comparison = _Comparison({} if old is None else old, {} if new is None else new)
    found = comparison.compare(comparison.old_root, comparison.new_root, (), keywords.OBJECT)
    return [each for each, _ in zip(found, range(MAX_NARROWINGS), strict=False)]


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self.old_root, self.new_root = old, new
        self._under_way: set[tuple[int, int]] = set()
        """Pairs whose comparison has begun, so that a schema that contains itself is compared only once."""
        self._besides: dict[int, Schema] = {}

    def compare(
        self, old: Json, new: Json, path: Path, only: frozenset[str] = keywords.EVERY_TYPE
    ) -> Iterator[Narrowing]:
        if isinstance(new, Mapping) and "$ref" in new and (beside := self._beside_reference(new)):
            yield from self.compare(old, beside, path, only)
        old, new = resolve(old, self.old_root), resolve(new, self.new_root)
        if new is True or old is False or new == {}:
            return
        if new is False:
            yield Narrowing(path, f"{_shown(path)} is not accepted any more")
            return
        if old is None or new is None:
            yield Narrowing(path, f"{_shown(path)} can't be compared: a reference leads nowhere")
            return
        pair = (id(old), id(new))
        if pair in self._under_way:
            return
        self._under_way.add(pair)
        before: Schema = {} if old is True else old
        types = accepted_types(before) & only
        yield from (
            Narrowing(path, f"{_shown(path)} {text}") for text in keywords.changes(before, new, types)
        )
        yield from self._unlike(before, new, path)
        yield from self._alternatives(before, new, path, types)
        if "object" in types:
            yield from self._properties(before, new, path)
        if "array" in types and "items" in new:
            yield from self.compare(before.get("items", True), new["items"], (*path, "items"))

    def _beside_reference(self, schema: Schema) -> Schema:
        """Return the rules that a schema has in addition to its `$ref`."""
        if id(schema) not in self._besides:
            rest = {name: value for name, value in schema.items() if name not in _NO_RULE}
            self._besides[id(schema)] = rest
        return self._besides[id(schema)]

    def _unlike(self, old: Schema, new: Schema, path: Path) -> Iterator[Narrowing]:
        for keyword in sorted(_SAME_OR_UNKNOWN & new.keys()):
            if keyword not in old or old[keyword] != new[keyword]:
                sentence = f"`{keyword}` of {_shown(path)} has changed, and may accept less"
                yield Narrowing((*path, keyword), sentence)

    def _alternatives(
        self, old: Schema, new: Schema, path: Path, types: frozenset[str]
    ) -> Iterator[Narrowing]:
        for index, part in enumerate(new.get("allOf", ())):
            if part not in old.get("allOf", ()) or self._has_references(part):
                yield from self.compare(old, part, (*path, "allOf", str(index)), types)
        if "anyOf" not in new:
            return
        for part in old.get("anyOf", [old]):
            if not any(self._is_accepted(part, other, types) for other in new["anyOf"]):
                sentence = f"`anyOf` of {_shown(path)} has changed, and may accept less"
                yield Narrowing((*path, "anyOf"), sentence)
                return

    def _is_accepted(self, old: Json, new: Json, types: frozenset[str]) -> bool:
        fresh = _Comparison(self.old_root, self.new_root)
        return next(fresh.compare(old, new, (), types), None) is None

    def _has_references(self, part: Json) -> bool:
        return "$ref" in str(part) and self.old_root != self.new_root

    def _properties(self, old: Schema, new: Schema, path: Path) -> Iterator[Narrowing]:
        missing = [name for name in new.get("required", ()) if name not in old.get("required", ())]
        if missing:
            yield Narrowing((*path, "required"), f"{_shown(path)} must have {listed(missing)} now")
        for pattern, schema in new.get("patternProperties", {}).items():
            before = old.get("patternProperties", {}).get(pattern)
            if before is None:
                sentence = f"keys of {_shown(path)} like {pattern!r} have a rule now"
                yield Narrowing((*path, "patternProperties", pattern), sentence)
            else:
                yield from self.compare(before, schema, (*path, "patternProperties", pattern))
        for name, schema in new.get("properties", {}).items():
            before = _of_key(old, name)
            yield from self.compare(before, schema, (*path, "properties", name))
        yield from self._other_keys(old, new, path)

    def _other_keys(self, old: Schema, new: Schema, path: Path) -> Iterator[Narrowing]:
        """Compare the keys that the new schema does not name."""
        if "additionalProperties" not in new:
            return
        others, where = new["additionalProperties"], (*path, "additionalProperties")
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}) and schema is not False:
                if others is False:
                    sentence = f"`{'.'.join((*_keys(path), name))}` is not accepted any more"
                    yield Narrowing((*path, "properties", name), sentence)
                else:
                    yield from self.compare(schema, others, where)
        if old.get("patternProperties", {}).keys() - new.get("patternProperties", {}).keys():
            yield Narrowing(where, f"keys of {_shown(path)} may not be accepted any more")
        before = old.get("additionalProperties", True)
        if others is False and before is not False:
            yield Narrowing(where, f"keys of {_shown(path)} that are not named are not accepted any more")
        elif before is not False:
            yield from self.compare(before, others, where)


def _of_key(schema: Schema, name: str) -> Json:
    """Return the schema for the value at a key."""
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    if "patternProperties" in schema:
        return True  # a pattern may match the key, so nothing is known about its value
    return schema.get("additionalProperties", True)


def _keys(path: Path) -> tuple[str, ...]:
    """Return the keys in the input for a path in the schema."""
    steps = iter(path)
    keys = []
    for step in steps:
        if step in ("properties", "patternProperties"):
            keys.append(next(steps))
        elif step == "items":
            keys.append("*")
        elif step in ("allOf", "anyOf"):
            next(steps, None)
    return tuple(keys)


def _shown(path: Path) -> str:
    keys = _keys(path)
    return f"`{'.'.join(keys)}`" if keys else "the input"
