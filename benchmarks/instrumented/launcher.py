"""Add the counters, then run the `__main__` of a service."""

import os
import re
import runpy
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import Counter
from service_kit.data.connections import WatchedConnection

from benchmarks.instrumented.profiler import profiled

PROFILE_VARIABLE = "BENCHMARK_PROFILE_DIR"
"""A directory: each service writes a profile of its main thread into a file there."""

_statements = Counter("benchmark_statements", "SQL statements sent, BEGIN and COMMIT among them.")
_commits = Counter("benchmark_commits", "Transactions that wrote, those of one statement among them.")


@cache
def _writes(query: str) -> bool:
    return re.search(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b", query) is not None


def _counted(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(connection: WatchedConnection, query: str, *arguments: Any, **options: Any) -> Any:
        _statements.inc()
        if query.startswith("COMMIT") or (_writes(query) and not connection.is_in_transaction()):
            _commits.inc()
        return method(connection, query, *arguments, **options)

    return call


def _count_statements() -> None:
    """Count everything that the pools of the services send."""
    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
        setattr(WatchedConnection, name, _counted(getattr(WatchedConnection, name)))


def launch(package: str) -> None:
    """Run `python -m PACKAGE` with the arguments of this process and with the counters."""
    _count_statements()
    directory = os.environ.get(PROFILE_VARIABLE)
    if directory is None or sys.argv[1:] != ["serve"]:
        runpy.run_module(package, run_name="__main__", alter_sys=True)
        return
    with profiled(Path(directory) / f"{package}-{os.getpid()}.txt"):
        runpy.run_module(package, run_name="__main__", alter_sys=True)
