"""Processor time of processes and all that they started, from /proc (Linux; elsewhere nothing is known)."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What one process has used."""

    parent: int
    seconds: float  # its own, and that of its ended children


def cpu_seconds(roots: Mapping[str, int], alone: frozenset[str] = frozenset()) -> dict[str, float]:
    """Processor seconds used so far by each process and its children, by the names of `roots`.

    Those in `alone` are counted without their children. Empty where there is no /proc.
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
        except OSError:  # it has just ended
            continue
        found[int(directory.name)] = _parse(stat)
    return found


def _parse(stat: str) -> Usage:
    """The second field is the name in parentheses, and may hold anything; the third follows the last `)`."""
    fields = stat.rpartition(")")[2].split()
    user, system, children_user, children_system = map(int, fields[11:15])
    return Usage(int(fields[1]), (user + system + children_user + children_system) / _TICKS_PER_SECOND)
