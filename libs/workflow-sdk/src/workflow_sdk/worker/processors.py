"""Finds how many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_GROUPS = Path("/proc/self/cgroup")


def available_processors(mount: Path = _MOUNT, groups: Path = _GROUPS) -> int:
    """Return the number of processors in the CPU set, or the quota of the cgroup if that is less.

    A quota of 1.5 processors counts as 2, and one below 1 counts as 1.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(mount, groups)
    return there if quota is None else max(1, min(there, math.ceil(quota)))


def _quota(mount: Path, groups: Path) -> float | None:
    """Return the smallest quota of the process's cgroup and its parents; None if there is no quota."""
    quotas = []
    for line in _read(groups).splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        roots = [mount] if not controllers else [mount / controllers, mount / "cpu"]
        for root in roots:
            quotas += [q for folder in _folders(root, path) if (q := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _folders(root: Path, path: str) -> list[Path]:
    """Return the folder of a cgroup and its parents. In a container perhaps only the root exists."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota_of(folder: Path) -> float | None:
    quota, period = [*_read(folder / "cpu.max").split(), "", ""][:2]  # cgroup v2
    if not quota:
        quota, period = (
            _read(folder / "cpu.cfs_quota_us").strip(),
            _read(folder / "cpu.cfs_period_us").strip(),
        )
    try:
        share = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return share if share > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
