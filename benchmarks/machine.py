"""The machine of the measurement: without it, the figures mean nothing."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import asyncpg

GIB = 1024**3


async def describe_machine(database_url: str, data: Path) -> dict[str, object]:
    """Return facts of the machine, the programs and their settings."""
    connection = await asyncpg.connect(database_url)
    try:
        postgres = await connection.fetchval("SHOW server_version")
        fsync = await connection.fetchval("SHOW fsync")
        synchronous_commit = await connection.fetchval("SHOW synchronous_commit")
    finally:
        await connection.close()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(data),
        "python": platform.python_version(),
        "grpc": version("grpcio"),
        "postgres": postgres,
        "fsync": fsync,
        "synchronous_commit": synchronous_commit,
        "commit": _commit(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(data: Path) -> str:
    """Return the file system of the data: in memory, an fsync proves nothing."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    holding = [(len(mount[1]), mount[2]) for mount in mounts if data.resolve().is_relative_to(mount[1])]
    return max(holding)[1] if holding else "unknown"


def _commit() -> str:
    def git(*words: str) -> str:
        command = ["git", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
