"""Runs a service's own `__main__` after the counters are in place."""

import os
import re
import runpy
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from prometheus_client import Counter

from benchmarks.instrumented.profiler import profiled

PROFILE_VARIABLE = "BENCHMARK_PROFILE_DIR"
"""A directory: each service writes where its main thread spent its time into a file there."""

_statements = Counter("benchmark_statements", "SQL statements sent, BEGIN and COMMIT among them.")
_commits = Counter("benchmark_commits", "Transactions that wrote, those of one statement among them.")


class CountingConnection(asyncpg.Connection):
    """A connection that counts what is sent."""


@cache
def _writes(query: str) -> bool:
    return re.search(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b", query) is not None


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(connection: CountingConnection, query: str, *arguments: Any, **options: Any) -> Any:
        _statements.inc()
        if query.startswith("COMMIT") or (_writes(query) and not connection.is_in_transaction()):
            _commits.inc()
        return method(connection, query, *arguments, **options)

    return call


for _name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
    setattr(CountingConnection, _name, _counted(getattr(asyncpg.Connection, _name)))


def launch(package: str) -> None:
    """Run `python -m PACKAGE` with this process's arguments, counting."""
    create_pool = asyncpg.create_pool
    asyncpg.create_pool = lambda *arguments, **options: create_pool(
        *arguments, **{"connection_class": CountingConnection, **options}
    )
    directory = os.environ.get(PROFILE_VARIABLE)
    if directory is None or sys.argv[1:] != ["serve"]:
        runpy.run_module(package, run_name="__main__", alter_sys=True)
        return
    with profiled(Path(directory) / f"{package}-{os.getpid()}.txt"):
        runpy.run_module(package, run_name="__main__", alter_sys=True)
