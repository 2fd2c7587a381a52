"""Read a file that the user names: only a regular file, and only up to the limit."""

from __future__ import annotations

import os
import stat
import sys

from workflowctl.bounds import MAX_BYTES
from workflowctl.errors import CommandError
from workflowctl.signals import signals_at_once
from workflowctl.streams import file_name

STDIN = "-"
_KINDS = (
    (stat.S_ISDIR, "is a directory: name the file in it"),
    (stat.S_ISFIFO, "is a pipe: send it to standard input, and name the file `-`"),
    (stat.S_ISCHR, "is a device: send it to standard input, and name the file `-`"),
)


def read_bytes(target: str) -> bytes:
    """Return at most MAX_BYTES + 1 bytes; `-` is standard input. Raise CommandError if that fails.

    Only a read of standard input waits for data.
    """
    if target == STDIN:
        return _read_stdin()
    try:
        descriptor = os.open(file_name(target), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_regular(target, os.fstat(descriptor).st_mode)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise CommandError(f"{target} cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise CommandError(f"{target!r} is not a valid file name") from None


def _read_stdin() -> bytes:
    try:
        with signals_at_once():
            return sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"standard input cannot be read: {error.strerror}") from None


def _check_regular(target: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = next((text for is_kind, text in _KINDS if is_kind(mode)), "is not a regular file")
    raise CommandError(f"{target} {what}")
