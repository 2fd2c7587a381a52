"""Log files of child processes: bounded in size, and quotable in an error."""

from pathlib import Path
from typing import BinaryIO

LOG_LIMIT_BYTES = 16 * 1024 * 1024
"""A log that has grown beyond this is set aside (as NAME.log.1) when its process next starts."""

_TAIL_BYTES = 16 * 1024


def open_log(path: Path) -> BinaryIO:
    """Open for appending, made on first use. The caller closes it once the child holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def tail(path: Path, lines: int = 10, *, from_bytes: int = 0) -> str:
    """Return the last lines of a log, indented, to be shown below an error; an empty text if there is no log.

    Lines before the byte `from_bytes` are left out: an earlier run wrote them.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(from_bytes, path.stat().st_size - _TAIL_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in text.splitlines()[-lines:])
