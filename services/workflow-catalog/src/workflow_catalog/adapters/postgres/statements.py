"""SQLAlchemy Core statements, compiled once to SQL that asyncpg prepares and runs directly.

SQLAlchemy defines the tables and the statements. asyncpg alone runs them, which halves the cost of a round
trip.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler


class Statement:
    """A statement with named parameters (`bindparam`)."""

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, **values: Any) -> list[Any]:
        """Return the values as positional arguments. Raise KeyError if a parameter has no value."""
        return [values[name] if name in values else self._constants[name] for name in self._order]
