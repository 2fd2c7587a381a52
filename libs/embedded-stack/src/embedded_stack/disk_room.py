"""A check that the disk of a data directory has room for the servers."""

import shutil
from pathlib import Path

from embedded_stack.errors import StackError

MIN_BYTES = 256 * 1024**2
"""With less, the log of a new PostgreSQL and its replica does not fit."""
SCARCE_BYTES = 1024**3


def require_room(directory: Path) -> None:
    """Raise StackError if the disk has less than 256 MiB free. The directory need not exist yet."""
    free = _free_bytes(directory)
    if free < MIN_BYTES:
        raise StackError(
            f"the disk of {directory} has {free // 1024**2} MiB free, but the servers need"
            f" {MIN_BYTES // 1024**2} MiB: free space, or set WORKFLOW_DATA_DIR to a directory on another"
            " disk"
        )


def warning_of(directory: Path) -> str | None:
    """Return a warning if less than 1 GiB is free."""
    free = _free_bytes(directory)
    if free >= SCARCE_BYTES:
        return None
    return (
        f"the disk of {directory} has only {free // 1024**2} MiB free. When it is full, nothing can start"
        " or finish until there is space again"
    )


def _free_bytes(directory: Path) -> int:
    servers = (directory / "servers").resolve()  # may lead to another disk
    place = next(path for path in (servers, *servers.parents) if path.exists())
    return shutil.disk_usage(place).free
