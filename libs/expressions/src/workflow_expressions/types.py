"""What is known at publish about the values that expressions read.

A type says what a value is, as far as that is known. What is not known is ANY: nothing is claimed of it, so
nothing about it can be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What kind a value is; CEL's own words but for NUMBER."""

    ANY = "DYN"
    NULL = "NULL"
    BOOL = "BOOL"
    INT = "INT"
    DOUBLE = "DOUBLE"
    NUMBER = "NUMBER"  # INT or DOUBLE, as it comes: what JSON calls a number
    STRING = "STRING"
    LIST = "LIST"
    MAP = "MAP"


class Presence(StrEnum):
    """Whether an object has a key."""

    ALWAYS = "ALWAYS"
    MAYBE = "MAYBE"  # it is declared, and not required
    UNKNOWN = "UNKNOWN"  # it is not declared, and nothing forbids it
    NEVER = "NEVER"


class Member(NamedTuple):
    """What is known of one key of an object."""

    type: ValueType
    presence: Presence


class ValueType:
    """What is known of a value. This one: its kind, and nothing of what is in it."""

    def __init__(self, kind: Kind = Kind.ANY) -> None:
        self.kind = kind

    @property
    def item(self) -> ValueType:
        """The type of a list's elements."""
        return ANY

    @property
    def names(self) -> Iterable[str]:
        """The keys that are declared, for suggestions."""
        return ()

    @property
    def source(self) -> str:
        """What declares the keys, for messages."""
        return ""

    def member(self, name: str) -> Member:
        """What is known of the key `name`."""
        return Member(ANY, Presence.UNKNOWN)


ANY: Final = ValueType()
BOOL: Final = ValueType(Kind.BOOL)
INT: Final = ValueType(Kind.INT)
STRING: Final = ValueType(Kind.STRING)
MAP: Final = ValueType(Kind.MAP)
_SCALARS: Final = {kind: ValueType(kind) for kind in Kind}


def of_kind(kind: Kind) -> ValueType:
    """A value of a kind of which nothing else is known."""
    return _SCALARS[kind]


@dataclass(frozen=True, slots=True)
class ListType(ValueType):
    """A list of elements of one type."""

    element: ValueType
    kind: Kind = field(default=Kind.LIST, init=False)

    @property
    def item(self) -> ValueType:
        """See ValueType."""
        return self.element


@dataclass(frozen=True, slots=True)
class ObjectType(ValueType):
    """An object that has these keys and no others."""

    members: Mapping[str, ValueType]
    declared_by: str = ""
    kind: Kind = field(default=Kind.MAP, init=False)

    @property
    def names(self) -> Iterable[str]:
        """See ValueType."""
        return self.members

    @property
    def source(self) -> str:
        """See ValueType."""
        return self.declared_by

    def member(self, name: str) -> Member:
        """See ValueType."""
        found = self.members.get(name)
        return Member(ANY, Presence.NEVER) if found is None else Member(found, Presence.ALWAYS)


@dataclass(frozen=True, slots=True)
class EnumType(ValueType):
    """A text that is one of `values`."""

    values: frozenset[str]
    never: frozenset[str] = frozenset()
    """Words that exist, and that the value cannot be here."""
    kind: Kind = field(default=Kind.STRING, init=False)


@dataclass(frozen=True, slots=True)
class MaybeNull(ValueType):
    """A value that may be null instead."""

    inner: ValueType
    reason: str
    """A sentence: when it is null."""
    told_by: tuple[str | int, ...]
    """The path that tells whether it is null."""
    kind: Kind = field(default=Kind.ANY, init=False)

    @property
    def item(self) -> ValueType:
        """See ValueType."""
        return self.inner.item

    @property
    def names(self) -> Iterable[str]:
        """See ValueType."""
        return self.inner.names

    @property
    def source(self) -> str:
        """See ValueType."""
        return self.inner.source

    def member(self, name: str) -> Member:
        """See ValueType."""
        return self.inner.member(name)
