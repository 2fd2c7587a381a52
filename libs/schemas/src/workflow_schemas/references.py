"""Resolve references within a JSON Schema: `#`, and pointers such as `#/$defs/address`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

Json: TypeAlias = Any

Path: TypeAlias = tuple[str | int, ...]

MAX_CHAIN: Final = 32
"""The longest chain of references that lead to references."""


def resolve(schema: Json, root: Json) -> Json:
    """Return the schema itself, or the schema that it refers to if it has a `$ref`.

    Return None if the reference leads to another document, to nothing, or in a circle.
    """
    for _ in range(MAX_CHAIN):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        schema = target(schema["$ref"], root)
    return None


def target(reference: Json, root: Json) -> Json:
    """Return the part of `root` that a reference leads to, or None if it leads elsewhere or to nothing."""
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
    """Yield every schema within a valid schema, itself included, with its path. Skip data such as `enum`."""
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
"""Keywords that never refuse a value. `format` is one of them, because 2020-12 does not enforce it."""
