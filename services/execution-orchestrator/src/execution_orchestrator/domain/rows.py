"""The base class of rows that a decision changes: it copies them first."""

from typing import Self


class Row:
    """A row of the database. A decision never changes it in place."""

    def copy(self) -> Self:
        """Return a shallow copy. This is several times faster than `dataclasses.replace`, on the hot path."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin
