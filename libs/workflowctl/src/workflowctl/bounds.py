"""Limits for the texts of users, and the error for a text that cannot be read."""

from __future__ import annotations

from workflow_contract.limits import MAX_MESSAGE_DEPTH

MAX_BYTES = 1024 * 1024
MAX_VALUES = 100_000
MAX_ALIASES = 100
MAX_VERSION = 2**31 - 1
"""The largest version that fits into the contract's field."""
# Limits the length of all keys on the way to a value: 100,000 values under a key of 1 MiB would have 100 GiB
# of paths.
MAX_PATH_CHARS = 20_000
# The places of longer paths are not kept. A problem there gets the place of the value around it.
MAX_PLACE_CHARS = 1_000

TOO_DEEP = f"this is nested over {MAX_MESSAGE_DEPTH} levels: make it flatter"
TOO_MANY = f"there are over {MAX_VALUES:,} values: make it smaller"
LONG_KEYS = f"the keys on the way here have over {MAX_PATH_CHARS:,} characters: shorten them"

Places = dict[str, tuple[int, int]]
"""Line and column of each path, such as `tasks[2].when`, from 1."""


class UnreadableError(Exception):
    """A text that cannot be read: what is wrong, and the line and column from 1."""

    def __init__(self, text: str, line: int, column: int) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
        self.column = column


def member_path(path: str, key: str) -> str:
    """Return the path of an object's member."""
    return f"{path}.{key}" if path else key
