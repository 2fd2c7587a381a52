"""Processor time of processes and their children, from /proc (Linux only)."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """The processor time of one process."""

    parent: int
    seconds: float  # of the process and its ended children


def cpu_seconds(roots: Mapping[str, int], alone: frozenset[str] = frozenset()) -> dict[str, float]:
    """Return the processor seconds so far of each process and its children, by the names of `roots`.

    Count processes in `alone` without their children. Without /proc, return an empty dict.
    """
    usages = _usages()
    children: dict[int, list[int]] = defaultdict(list)
    for pid, usage in usages.items():
        children[usage.parent].append(pid)
    return {
        name: usages[pid].seconds if name in alone else _with_children(pid, usages, children)
        for name, pid in roots.items()
        if pid in usages
    }


def _with_children(pid: int, usages: Mapping[int, Usage], children: Mapping[int, list[int]]) -> float:
    below = sum(_with_children(child, usages, children) for child in children.get(pid, ()))
    return usages[pid].seconds + below


def _usages() -> dict[int, Usage]:
    found = {}
    for directory in PROC.glob("[0-9]*"):
        try:
            stat = (directory / "stat").read_text()
        except OSError:  # the process has just ended
            continue
        found[int(directory.name)] = _parse(stat)
    return found


def _parse(stat: str) -> Usage:
    """Parse a line of stat.

    The name in parentheses may contain anything; the third field follows the last `)`.
    """
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return Usage(int(fields[1]), (user + system + children_user + children_system) / _TICKS_PER_SECOND)
