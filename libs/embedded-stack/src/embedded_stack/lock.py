"""A lock that permits one supervisor for each data directory."""

import fcntl
import os
from pathlib import Path
from typing import Self

from embedded_stack.errors import StackError
from embedded_stack.leftovers import stop_leftovers


class DataDirectoryLock:
    """The lock of a data directory. If its supervisor dies in any way, the kernel releases the lock."""

    def __init__(self, descriptor: int | None) -> None:
        self.leftovers: list[str] = []
        """The names of processes of a killed supervisor that `acquire` ended."""
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, data_directory: Path) -> Self:
        """Take the lock, and end processes that a killed holder left running.

        Raise StackError if another live process holds the lock, or if this process may not write there.
        """
        path = data_directory / "lock"
        try:
            data_directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StackError(
                f"cannot use the data directory {data_directory} ({error.strerror}): "
                "set WORKFLOW_DATA_DIR to a directory of your own"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            os.close(descriptor)
            raise StackError(
                f"the stack in {data_directory} is in use by process {holder}: stop it (Ctrl-C, or "
                f"`kill {holder}`), or set WORKFLOW_DATA_DIR to another directory"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        lock = cls(descriptor)
        lock.leftovers = stop_leftovers(data_directory / "run", data_directory)
        return lock

    def release(self) -> None:
        """Release the lock. May be repeated."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
