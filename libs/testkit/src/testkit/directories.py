"""Temporary directories for servers."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 1024**3


def server_directory() -> Path:
    """Make a directory for the data of servers, in memory where there is room. The caller removes it.

    Not inside pytest's own directory: that is closed, and root's servers run as another user. In memory
    because ext4 takes seconds for the thousands of files of a new cluster shortly after as many were removed.
    """
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    return Path(tempfile.mkdtemp(prefix="testkit-", dir=_MEMORY if roomy else None))


@contextmanager
def temporary_server_directory() -> Iterator[Path]:
    """The same, removed at the end."""
    directory = server_directory()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
