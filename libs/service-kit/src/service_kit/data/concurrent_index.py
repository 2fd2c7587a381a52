"""Build an index of a large table while other sessions write to it. For migrations.

PostgreSQL cannot index a partitioned table concurrently as a whole. So create the index on the parent alone,
still invalid, then build an index on each partition and attach it. The parent's index becomes valid when the
last one is attached. A partition that is created meanwhile gets its index from the parent.

An interrupted build leaves an invalid index. Drop it and build it again.
"""

from __future__ import annotations

import re
from typing import Any, Final

from alembic import op
from sqlalchemy import Connection, text

_STATEMENT: Final = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX (?P<name>\w+) ON (?P<table>\w+) (?P<definition>.+)", re.S
)

MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names."""

_PARTITIONS: Final = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = to_regclass(:table) ORDER BY c.relname"
)
_IS_PARTITIONED: Final = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:table)"
_IS_VALID: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
_IS_ATTACHED: Final = "SELECT true FROM pg_inherits WHERE inhrelid = to_regclass(:name)"


def create_index_concurrently(statement: str) -> None:
    """Run `CREATE [UNIQUE] INDEX name ON table ...` without blocking writers. Call it in a migration.

    Put nothing else into the same migration: this call commits the transaction before it, and then each of
    its steps. You may repeat the call: it continues where an earlier one was interrupted. Raise ValueError if
    the statement has another form, or if the name of a partition's index is longer than 63 bytes.
    """
    match = _STATEMENT.fullmatch(statement.strip())
    if match is None:
        raise ValueError(f"write the index as CREATE INDEX name ON table (...), but it is {statement!r}")
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        if connection.execute(text(_IS_PARTITIONED), {"table": match["table"]}).scalar_one():
            _create_on_partitions(connection, match)
        else:
            _build(connection, match, match["name"], match["table"])


def _create_on_partitions(connection: Connection, match: re.Match[str]) -> None:
    name, table = match["name"], match["table"]
    if _look(connection, _IS_VALID, name) is None:
        connection.execute(_create(match, "INDEX", name, f"ONLY {table}"))
    for (partition,) in connection.execute(text(_PARTITIONS), {"table": table}).all():
        own = f"{partition}_{name.removeprefix(f'{table}_')}"
        if _look(connection, _IS_ATTACHED, own):
            continue
        _build(connection, match, own, partition)
        connection.execute(text(f"ALTER INDEX {name} ATTACH PARTITION {own}"))


def _build(connection: Connection, match: re.Match[str], name: str, table: str) -> None:
    """Build one index, unless it exists.

    A concurrent build waits for every older transaction, but does not block other sessions meanwhile: so it
    has no time limit.
    """
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the index {name} needs a name of at most {MAX_NAME_BYTES} bytes: shorten it")
    valid = _look(connection, _IS_VALID, name)
    if valid:
        return
    before = connection.execute(text("SHOW lock_timeout")).scalar_one()
    connection.execute(text("SET lock_timeout = 0"))
    try:
        if valid is False:
            connection.execute(text(f"DROP INDEX CONCURRENTLY {name}"))
        connection.execute(_create(match, "INDEX CONCURRENTLY", name, table))
    finally:
        connection.execute(text(f"SET lock_timeout = '{before}'"))


def _create(match: re.Match[str], kind: str, name: str, table: str) -> Any:
    return text(f"CREATE {match['unique'] or ''}{kind} {name} ON {table} {match['definition']}")


def _look(connection: Connection, query: str, name: str) -> bool | None:
    """Return the value that the query finds for this index; None if the index does not exist."""
    found: bool | None = connection.execute(text(query), {"name": name}).scalar()
    return found
