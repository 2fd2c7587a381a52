"""Compare the keywords of a JSON Schema that concern one value alone: types, bounds, constants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from workflow_catalog.domain.definition import Json

Schema: TypeAlias = Mapping[str, Json]

EVERY_TYPE: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
OBJECT: Final = frozenset({"object"})
_NUMBERS: Final = frozenset({"integer", "number"})

_LOWER: Final = {"minLength": "string", "minItems": "array", "minProperties": "object"}
_UPPER: Final = {"maxLength": "string", "maxItems": "array", "maxProperties": "object"}


def accepted_types(schema: Schema) -> frozenset[str]:
    """Return the types that a value may have. If `number` is among them, so is `integer`."""
    if "const" in schema or "enum" in schema:
        return frozenset(map(_type_of, _values(schema) or ()))
    wanted = schema.get("type", EVERY_TYPE)
    types = frozenset([wanted] if isinstance(wanted, str) else wanted)
    return types | {"integer"} if "number" in types else types


def changes(old: Schema, new: Schema, types: frozenset[str]) -> Iterator[str]:
    """Yield a sentence for each keyword of `new` that refuses a value which `old` accepts.

    The sentences have no subject: the caller adds it. `types` are the types that old values can have.
    """
    wanted = accepted_types({"type": new["type"]}) if "type" in new else EVERY_TYPE
    lost = types - wanted
    if "number" in lost and "integer" in types:
        lost -= {"integer"} - wanted
    if lost:
        yield f"may not be {listed(sorted(lost), ' or ')} any more"
    yield from _word_changes(old, new, types)
    if types & _NUMBERS:
        yield from _number_changes(old, new, types)
    yield from _size_changes(old, new, types)
    if "string" in types and "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"must match the pattern {new['pattern']!r} now"
    if "array" in types and new.get("uniqueItems") and not old.get("uniqueItems"):
        yield "must not have an element twice any more"


def listed(names: Iterable[str], joint: str = ", ") -> str:
    """Return names as `a`, `b`."""
    return joint.join(f"`{name}`" for name in names)


def _values(schema: Schema) -> list[Json] | None:
    """Return all values that a schema accepts, or None if it does not list them."""
    if "const" in schema:
        return [schema["const"]]
    values: list[Json] | None = schema.get("enum")
    return values


def _word_changes(old: Schema, new: Schema, types: frozenset[str]) -> Iterator[str]:
    after = _values(new)
    if after is None:
        return
    allowed = set(map(canonical, after))
    before = _values(old)
    if before is None and types <= {"boolean", "null"}:
        before = [each for each in (True, False, None) if _type_of(each) in types]
    if before is None:
        yield f"may only be one of {', '.join(sorted(allowed)[:12])} now"
        return
    lost = sorted(set(map(canonical, before)) - allowed)
    if lost:
        yield f"may not be {' or '.join(lost[:12])} any more"


def _number_changes(old: Schema, new: Schema, types: frozenset[str]) -> Iterator[str]:
    for plain, exclusive, sign, word in (
        ("minimum", "exclusiveMinimum", 1, "less"),
        ("maximum", "exclusiveMaximum", -1, "more"),
    ):
        after, before = _bound(new, plain, exclusive, sign), _bound(old, plain, exclusive, sign)
        if after is not None and (before is None or before < after):
            yield f"may not be {word} than {after[0] * sign:g} any more"
    step = new.get("multipleOf")
    if step is not None and not _is_multiple(old, step, types):
        yield f"must be a multiple of {step:g} now"


def _bound(schema: Schema, plain: str, exclusive: str, sign: int) -> tuple[float, bool] | None:
    """Return the strictest bound as a lower bound, so that a greater one is stricter, or None."""
    bounds = [(schema[plain] * sign, False)] if plain in schema else []
    bounds += [(schema[exclusive] * sign, True)] if exclusive in schema else []
    return max(bounds, default=None)


def _is_multiple(old: Schema, step: float, types: frozenset[str]) -> bool:
    before = old.get("multipleOf", 1 if "number" not in types else None)
    return before is not None and before % step == 0


def _size_changes(old: Schema, new: Schema, types: frozenset[str]) -> Iterator[str]:
    for keyword, kind in _LOWER.items():
        if kind in types and new.get(keyword, 0) > old.get(keyword, 0):
            yield f"must have a size of at least {new[keyword]:g} now"
    for keyword, kind in _UPPER.items():
        if kind in types and keyword in new and old.get(keyword, float("inf")) > new[keyword]:
            yield f"may have a size of at most {new[keyword]:g} now"


def _type_of(value: Json) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    if isinstance(value, float) and value.is_integer():
        return "integer"
    return names.get(type(value), "null")


def canonical(value: Json) -> str:
    """Return a text that is equal only for equal JSON. Python's `==` is not enough, because `1 == True`."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
