"""Temporary directories for servers."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 1024**3


def server_directory() -> Path:
    """Create a directory for the data of servers, in memory if there is room. The caller removes it.

    It is not inside pytest's directory, which is closed, because root's servers run as another user. It is in
    memory, because ext4 takes seconds for the files of a new cluster after it removed thousands of files.
    """
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES
    return Path(tempfile.mkdtemp(prefix="testkit-", dir=_MEMORY if roomy else None))


@contextmanager
def temporary_server_directory() -> Iterator[Path]:
    """Return such a directory, and remove it at the end of the block."""
    directory = server_directory()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
