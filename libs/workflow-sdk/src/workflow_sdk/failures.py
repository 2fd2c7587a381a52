"""How handlers fail: the exceptions they may raise, and what is kept of any exception."""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass
from typing import Any, Self

LONGEST_TYPE_CHARS = 256
LONGEST_TEXT_BYTES = 32 * 1024

# The engine's own failure types, as far as workers report them.
START_TO_CLOSE_TIMEOUT = "StartToCloseTimeout"
UNKNOWN_TASK_TYPE = "UnknownTaskType"
PAYLOAD_TOO_LARGE = "PayloadTooLarge"
OUTPUT_NOT_JSON = "OutputNotJson"
PROCESS_DIED = "ProcessDied"


class TaskFailure(Exception):  # noqa: N818 - the contract's word
    """Raise it to choose the failure's type, by which retry policies choose, and whether a retry can help."""

    def __init__(self, message: str = "", *, type: str | None = None, non_retryable: bool = False) -> None:
        super().__init__(message)
        self.type = type or self.__class__.__name__
        self.non_retryable = non_retryable


class NonRetryableError(TaskFailure):
    """Raise it, or a subclass, where another attempt can't help: the task fails at once."""

    def __init__(self, message: str = "", *, type: str | None = None) -> None:
        super().__init__(message, type=type, non_retryable=True)


class TaskCancelled(BaseException):
    """Raised inside a sync handler that has to stop. Clean up and let it pass."""


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """What is reported of a failed attempt; texts are within the contract's limits."""

    type: str
    message: str
    details: str = ""
    non_retryable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Of an exception that a handler raised: class name, text, and the end of the traceback."""
        kind = error.type if isinstance(error, TaskFailure) else error.__class__.__name__
        trace = "".join(traceback.format_exception(_without_our_frames(error)))
        return cls(
            clean(kind)[:LONGEST_TYPE_CHARS],
            cut(str(error)),
            cut(trace, keep_end=True),
            isinstance(error, TaskFailure) and error.non_retryable,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for the way from a child process."""
        return asdict(self)


def cut(text: str, limit: int = LONGEST_TEXT_BYTES, *, keep_end: bool = False) -> str:
    """The text with at most `limit` bytes as UTF-8, and without characters that can't be stored."""
    encoded = clean(text).encode()
    if len(encoded) <= limit:
        return encoded.decode()
    room = limit - 4
    if keep_end:
        return "…" + encoded[-room:].decode(errors="ignore")
    return encoded[:room].decode(errors="ignore") + "…"


def clean(text: str) -> str:
    """The text without NUL characters and halves of surrogate pairs."""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()


def _without_our_frames(error: BaseException) -> BaseException:
    """Users look for their own line: the frames of this library above it are left out."""
    own_package = __name__.split(".")[0]
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").split(".")[0] == own_package:
        frame = frame.tb_next
    return error if frame is None else error.with_traceback(frame)
