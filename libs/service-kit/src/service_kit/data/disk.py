"""A check that the disk of the database is not full, as far as a service can see.

PostgreSQL goes on reading while its disk is full, so a query says nothing about the next write. The
connection that gets the error notes it. From then on health checks try a small write, until one succeeds.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import structlog

# A temporary table has a file in the directory of the other tables. It takes 1 MiB, because existing files
# may have a little room left. The transaction is rolled back, so nothing remains.
_WRITE = """
CREATE TEMPORARY TABLE workflowsystem_disk_probe ON COMMIT DROP AS
SELECT repeat(md5(n::text), 32) AS text FROM generate_series(1, 1000) AS n"""

log = structlog.get_logger(__name__)


class DiskFullError(Exception):
    """The disk of the database is full; the text says what to do."""


class _RolledBackError(Exception):
    """Ends the probe's transaction after the write has succeeded."""


class Disk:
    """The disk of one database, as far as it is known."""

    def __init__(self) -> None:
        self.is_full = False

    def note_full(self) -> None:
        """Note that a statement failed because the disk is full."""
        if not self.is_full:
            log.error("database_disk_full")
        self.is_full = True

    async def check(self, connection: Any) -> None:
        """Raise DiskFullError if a statement has failed and a small write still fails.

        If no statement has failed, do nothing.
        """
        if not self.is_full:
            return
        try:
            async with connection.transaction():
                await connection.execute(_WRITE)
                raise _RolledBackError
        except asyncpg.DiskFullError as error:
            message = "the disk of the database is full: free space on it, or enlarge it"
            raise DiskFullError(message) from error
        except (_RolledBackError, asyncpg.InsufficientPrivilegeError):
            self.is_full = False  # if the probe is not allowed, the next write decides
            log.info("database_disk_has_room")
