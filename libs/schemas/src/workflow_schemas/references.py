"""References within a JSON Schema: `#`, and pointers such as `#/$defs/address`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

Json: TypeAlias = Any

Path: TypeAlias = tuple[str | int, ...]

MAX_CHAIN: Final = 32
"""References that lead to references, one after another."""


def resolve(schema: Json, root: Json) -> Json:
    """Return the schema, or what it refers to if it is only a reference.

    None if that is not known: the reference leads elsewhere, to nothing, or round in a circle.
    """
    for _ in range(MAX_CHAIN):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        schema = target(schema["$ref"], root)
    return None


def target(reference: Json, root: Json) -> Json:
    """Return what a reference refers to; None if it is not a pointer into `root`, or leads to nothing."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found = root
    for step in unquote(reference).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


_MAPS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES: Final = (
    *("not", "if", "then", "else", "items", "contains", "propertyNames", "contentSchema"),
    *("additionalProperties", "unevaluatedProperties", "unevaluatedItems"),
)


def subschemas(schema: Json) -> Iterator[tuple[Path, Mapping[str, Json]]]:
    """Yield every part of a valid schema that is a schema, with its path. Data such as `enum` is none."""
    pending: list[tuple[Path, Json]] = [((), schema)]
    while pending:
        path, part = pending.pop()
        if not isinstance(part, Mapping):
            continue
        yield path, part
        for keyword in _SINGLES:
            if keyword in part:
                pending.append(((*path, keyword), part[keyword]))
        for keyword in _LISTS:
            pending += [((*path, keyword, n), each) for n, each in enumerate(part.get(keyword, ()))]
        for keyword in _MAPS:
            pending += [((*path, keyword, name), each) for name, each in part.get(keyword, {}).items()]


ANNOTATIONS: Final = frozenset(
    {
        *("title", "description", "default", "examples", "$comment", "deprecated", "readOnly", "writeOnly"),
        *("format", "$schema", "$id", "contentEncoding", "contentMediaType"),
    }
)
"""Keywords that refuse no value. `format` is one of them: 2020-12 does not enforce it."""
