"""Log files of child processes: they have a limit of size, and errors quote them."""

from pathlib import Path
from typing import BinaryIO

LOG_LIMIT_BYTES = 16 * 1024 * 1024
"""If a log is larger when its process starts, it is renamed to NAME.log.1."""

_TAIL_BYTES = 16 * 1024


def open_log(path: Path) -> BinaryIO:
    """Open a log for appending; create it if it does not exist.

    The caller closes it after the child has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def tail(path: Path, lines: int = 10, *, from_bytes: int = 0) -> str:
    """Return the last lines of a log, indented, for an error; an empty text if there is no log.

    Leave out lines before the byte `from_bytes`, because an earlier run wrote them.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(from_bytes, path.stat().st_size - _TAIL_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "".join(f"\n    {line}" for line in text.splitlines()[-lines:])
