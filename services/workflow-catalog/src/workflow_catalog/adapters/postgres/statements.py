"""SQLAlchemy Core statements, compiled once to SQL that asyncpg prepares and runs directly.

The tables and the statements are SQLAlchemy's; the round trip is asyncpg's alone, which halves its cost.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler


class Statement:
    """A statement with named parameters (`bindparam`), which `arguments` puts in order."""

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled)
        self._order = tuple(compiled.positiontup or ())
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, **values: Any) -> list[Any]:
        """The positional arguments. Raises KeyError for a parameter without a value."""
        return [values[name] if name in values else self._constants[name] for name in self._order]
