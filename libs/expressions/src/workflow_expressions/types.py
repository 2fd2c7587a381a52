"""The types of the values that expressions read, as far as they are known at publish.

A value of unknown type is ANY. The checks claim nothing about it, so they find no problems with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """The kind of a value. All names except NUMBER are CEL's own."""

    ANY = "DYN"
    NULL = "NULL"
    BOOL = "BOOL"
    INT = "INT"
    DOUBLE = "DOUBLE"
    NUMBER = "NUMBER"  # INT or DOUBLE: a number of JSON
    STRING = "STRING"
    LIST = "LIST"
    MAP = "MAP"


class Presence(StrEnum):
    """How certain it is that an object has a key."""

    ALWAYS = "ALWAYS"
    MAYBE = "MAYBE"  # it is declared, but not required
    UNKNOWN = "UNKNOWN"  # it is not declared, but nothing forbids it
    NEVER = "NEVER"


class Member(NamedTuple):
    """The type of the value at one key of an object, and whether the key is present."""

    type: ValueType
    presence: Presence


class ValueType:
    """The type of a value. This base class knows the kind of the value, but not its contents."""

    def __init__(self, kind: Kind = Kind.ANY) -> None:
        self.kind = kind

    @property
    def item(self) -> ValueType:
        """The type of a list's elements."""
        return ANY

    @property
    def names(self) -> Iterable[str]:
        """The declared keys, for suggestions."""
        return ()

    @property
    def source(self) -> str:
        """The place that declares the keys, for messages."""
        return ""

    def member(self, name: str) -> Member:
        """Return the type and the presence of the key `name`."""
        return Member(ANY, Presence.UNKNOWN)


ANY: Final = ValueType()
BOOL: Final = ValueType(Kind.BOOL)
INT: Final = ValueType(Kind.INT)
STRING: Final = ValueType(Kind.STRING)
MAP: Final = ValueType(Kind.MAP)
_SCALARS: Final = {kind: ValueType(kind) for kind in Kind}


def of_kind(kind: Kind) -> ValueType:
    """Return the type of a value of which only the kind is known."""
    return _SCALARS[kind]


@dataclass(frozen=True, slots=True)
class ListType(ValueType):
    """A list of elements of one type."""

    element: ValueType
    kind: Kind = field(default=Kind.LIST, init=False)

    @property
    def item(self) -> ValueType:
        """The type of the elements."""
        return self.element


@dataclass(frozen=True, slots=True)
class ObjectType(ValueType):
    """An object that has these keys and no others."""

    members: Mapping[str, ValueType]
    declared_by: str = ""
    kind: Kind = field(default=Kind.MAP, init=False)

    @property
    def names(self) -> Iterable[str]:
        """The keys of the object."""
        return self.members

    @property
    def source(self) -> str:
        """The place that declares the keys."""
        return self.declared_by

    def member(self, name: str) -> Member:
        """Return the type of the key `name`. The presence is ALWAYS, or NEVER for an unknown key."""
        found = self.members.get(name)
        return Member(ANY, Presence.NEVER) if found is None else Member(found, Presence.ALWAYS)


@dataclass(frozen=True, slots=True)
class EnumType(ValueType):
    """A string that is one of `values`."""

    values: frozenset[str]
    never: frozenset[str] = frozenset()
    """Values that exist elsewhere, but that this value can never have."""
    kind: Kind = field(default=Kind.STRING, init=False)


@dataclass(frozen=True, slots=True)
class MaybeNull(ValueType):
    """A value that may be null instead."""

    inner: ValueType
    reason: str
    """A sentence that says when the value is null."""
    told_by: tuple[str | int, ...]
    """The path to a value that shows whether this one is null."""
    kind: Kind = field(default=Kind.ANY, init=False)

    @property
    def item(self) -> ValueType:
        """The type of the elements if the value is a list and not null."""
        return self.inner.item

    @property
    def names(self) -> Iterable[str]:
        """The declared keys of the value if it is not null."""
        return self.inner.names

    @property
    def source(self) -> str:
        """The place that declares the keys."""
        return self.inner.source

    def member(self, name: str) -> Member:
        """Return the type and the presence of the key `name` if the value is not null."""
        return self.inner.member(name)
