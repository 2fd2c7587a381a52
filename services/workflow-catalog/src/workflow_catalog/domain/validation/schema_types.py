"""Derive the types of values that expressions read from a JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from workflow_expressions import ANY, EnumType, Kind, Member, Presence, ValueType
from workflow_schemas import resolve

from workflow_catalog.domain.definition import Json

_KINDS: Final = {
    "string": Kind.STRING,
    "integer": Kind.INT,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOL,
    "array": Kind.LIST,
    "object": Kind.MAP,
    "null": Kind.NULL,
}


class SchemaType(ValueType):
    """The type of a value that satisfies a schema. It claims only what the schema guarantees."""

    def __init__(self, schema: Json, root: Json, source: str) -> None:
        super().__init__(_kind(schema))
        self._schema: Mapping[str, Json] = schema
        self._root = root
        self._source = source

    @property
    def item(self) -> ValueType:
        """The type of the elements."""
        if "prefixItems" in self._schema:
            return ANY
        return schema_type(self._schema.get("items"), self._root, self._source)

    @property
    def names(self) -> Iterable[str]:
        """The keys that the schema declares."""
        return self._properties

    @property
    def source(self) -> str:
        """The place of the schema, for messages."""
        return self._source

    def member(self, name: str) -> Member:
        """Return the type and the presence of the key `name`."""
        required = name in self._schema.get("required", ())
        if name in self._properties:
            known = schema_type(self._properties[name], self._root, self._source)
            return Member(known, Presence.ALWAYS if required else Presence.MAYBE)
        others = self._schema.get("additionalProperties", True)
        if others is False and "patternProperties" not in self._schema:
            return Member(ANY, Presence.NEVER)
        if required:
            return Member(ANY, Presence.ALWAYS)
        return Member(ANY, Presence.UNKNOWN)

    @property
    def _properties(self) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self._schema.get("properties", {})
        return found


def schema_type(schema: Json, root: Json, source: str) -> ValueType:
    """Return the type of a value that satisfies `schema`, a part of `root`. Messages call it `source`.

    The schema must be valid. It may contain itself, because its parts are read only when they are needed.
    """
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return ANY
    words = schema.get("enum", [schema["const"]] if "const" in schema else ())
    if words and all(isinstance(word, str) for word in words):
        return EnumType(frozenset(words))
    return SchemaType(schema, root, source)


def _kind(schema: Mapping[str, Json]) -> Kind:
    wanted = schema.get("type")
    return _KINDS.get(wanted, Kind.ANY) if isinstance(wanted, str) else Kind.ANY
