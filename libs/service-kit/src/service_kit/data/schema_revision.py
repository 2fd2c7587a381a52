"""The revision of a database, and the revision that a service needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg


class SchemaMissingError(Exception):
    """The database lacks migrations that the service needs; the text says which command runs them."""


def newest_revision(versions: Path) -> str:
    """Return the newest revision of the migrations in a directory: the number at the beginning of their
    names.

    Alembic could tell too, but takes 14 MiB of memory, which a serving process does not need.
    """
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema that a service needs: `version_table` holds one revision, at least as new as `revision`."""

    version_table: str
    revision: str
    command: str
    """The command line that migrates, such as `python -m workflow_catalog migrate`."""

    async def check(self, connection: Any) -> None:
        """Raise SchemaMissingError if migrations are missing. A newer schema serves this release too."""
        try:
            found = await connection.fetchval(f"SELECT max(version_num) FROM {self.version_table}")
        except asyncpg.UndefinedTableError:
            found = None
        if found is None:
            raise SchemaMissingError(f"the database has no tables of this service: run `{self.command}`")
        if found < self.revision:
            message = (
                f"the database is at revision {found}, and {self.revision} is needed: run `{self.command}`"
            )
            raise SchemaMissingError(message)
