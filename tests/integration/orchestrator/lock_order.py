"""Watches in which order the transactions of an orchestrator lock tables.

Two transactions that lock the same rows in different orders may wait for each other without end. So all of
them lock in one order, which docs/leases.md explains: request ids, executions, worker processes, task runs.
The watch reads each statement that a service sends, and notes every transaction that goes back in this order.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from execution_orchestrator.adapters.postgres import store_sql
from service_kit.data.connections import WatchedConnection

ORDER = ("request_ids", "executions", "worker_boots", "task_runs")

HOLDS_THE_ROWS_ALREADY = (store_sql.FORGET_REQUEST_IDS,)
"""Statements that change rows which the same transaction has written, so that they wait for nothing."""

_WRITES = re.compile(r"\b(?:UPDATE|INSERT INTO|DELETE FROM) (\w+)")
_LOCKS = re.compile(r"\bFOR (?:NO KEY )?UPDATE(?: OF (\w+))?")


def locked_tables(statement: str) -> list[str]:
    """Return the tables of ORDER that the statement locks rows of, in the order of its text."""
    places = [(found.start(), found[1]) for found in _WRITES.finditer(statement)]
    for found in _LOCKS.finditer(statement):
        before = statement[: found.start()]
        tables = re.findall(rf"\b(?:FROM|JOIN) (\w+) (?:AS )?{found[1]}\b", before) if found[1] else []
        places.append((found.start(), (tables or re.findall(r"\b(?:FROM|JOIN) (\w+)", before))[-1]))
    return [table for _, table in sorted(places) if table in ORDER]


class LockOrder:
    """The transactions that are open, and those that broke the order."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.broken: list[str] = []
        self._open: dict[int, list[str]] = {}

    def note(self, connection: Any, statement: str) -> None:
        """Note a statement before it is sent."""
        word = statement.split(None, 1)[0].rstrip(";").upper()
        if word in ("BEGIN", "START", "COMMIT", "ROLLBACK"):
            self._open[id(connection)] = []
            return
        tables = [] if statement in HOLDS_THE_ROWS_ALREADY else locked_tables(statement)
        held = self._open.setdefault(id(connection), []) if connection.is_in_transaction() else []
        for table in tables:
            self.seen.add(table)
            if held and ORDER.index(table) < ORDER.index(held[-1]):
                self.broken.append(f"{table} after {held[-1]}: {' '.join(statement.split())[:120]}")
            held.append(table)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[LockOrder]:
    """Watch every statement of the services in this process while the block lasts."""
    order = LockOrder()

    def watching(method: Any) -> Any:
        def call(connection: Any, statement: str, *arguments: Any, **options: Any) -> Any:
            order.note(connection, statement)
            return method(connection, statement, *arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
            patched.setattr(WatchedConnection, name, watching(getattr(WatchedConnection, name)))
        yield order
