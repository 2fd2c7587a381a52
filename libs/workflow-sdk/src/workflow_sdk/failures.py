"""How handlers fail: the exceptions that they can raise, and what the worker reports of any exception."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeVar

T = TypeVar("T")

MAX_TYPE_CHARS = 256
MAX_TEXT_BYTES = 32 * 1024

# The engine's own failure types that workers report.
START_TO_CLOSE_TIMEOUT = "StartToCloseTimeout"
UNKNOWN_TASK_TYPE = "UnknownTaskType"
PAYLOAD_TOO_LARGE = "PayloadTooLarge"
OUTPUT_NOT_JSON = "OutputNotJson"
PROCESS_DIED = "ProcessDied"


class TaskFailure(Exception):  # noqa: N818 - the contract's word
    """Raise it to set the failure's type, which retry policies match, and whether a retry can help.

    A subclass may set `type` and `non_retryable` in its body, and need not call `super().__init__`.
    """

    type: str | None = None
    non_retryable: bool = False

    def __init__(
        self, message: str = "", *, type: str | None = None, non_retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        if type:
            self.type = type
        if non_retryable is not None:
            self.non_retryable = non_retryable


class NonRetryableError(TaskFailure):
    """Raise it, or a subclass, if another attempt can't help: the task fails at once."""

    non_retryable = True

    def __init__(self, message: str = "", *, type: str | None = None) -> None:
        super().__init__(message, type=type, non_retryable=True)


class TaskCancelled(BaseException):
    """The worker raises it in a sync handler that must stop. Clean up, then let it pass."""


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """A worker's report of a failed attempt. The texts are within the contract's limits."""

    type: str
    message: str
    details: str = ""
    non_retryable: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe an exception that a handler raised: class name, text, and the end of the traceback.

        Raise nothing, even if reading the text or the attributes of the exception raises.
        """
        return cls(
            _safely(lambda: _kind(error), "Exception"),
            _safely(lambda: cut(_text(error)), "the text of the exception can't be made"),
            _safely(lambda: cut(_trace(error), keep_end=True), ""),
            _safely(lambda: _is_non_retryable(error), issubclass(type(error), NonRetryableError)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the failure as JSON, for the message from a child process."""
        return asdict(self)


def cut(text: str, limit: int = MAX_TEXT_BYTES, *, keep_end: bool = False) -> str:
    """Return the text with at most `limit` bytes as UTF-8, without characters that can't be stored."""
    # A character has at least one byte, so most of a huge text need not be encoded.
    encoded = clean(text[-limit - 1 :] if keep_end else text[: limit + 1]).encode()
    if len(encoded) <= limit:
        return encoded.decode()
    room = limit - 4
    if keep_end:
        return "…" + encoded[-room:].decode(errors="ignore")
    return encoded[:room].decode(errors="ignore") + "…"


def clean(text: str) -> str:
    """Return the text without NUL characters and halves of surrogate pairs."""
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()


def _safely(read: Callable[[], T], otherwise: T) -> T:
    """Return the result of `read`, or `otherwise` if it raises: a handler's exception may do anything."""
    try:
        return read()
    except BaseException:  # SystemExit in a __str__ must not end the worker either
        return otherwise


def _plain(text: str) -> str:
    """Return a built-in str: a subclass may do anything in its methods."""
    return str.__getitem__(text, slice(None))


def _kind(error: BaseException) -> str:
    chosen = _safely(lambda: getattr(error, "type", None), None) if _is_task_failure(error) else None
    name = _safely(lambda: _plain(str(chosen)), "") if chosen else ""
    class_name = str(type.__dict__["__name__"].__get__(type(error)))  # a metaclass may have one of its own
    return clean(name or class_name)[:MAX_TYPE_CHARS]


def _text(error: BaseException) -> str:
    try:
        return _plain(str(error))
    except BaseException as problem:
        raised = type(problem).__name__
        arguments = _safely(lambda: _plain(repr(error.args))[:MAX_TEXT_BYTES], "")
        return (
            f"the exception has no text: its __str__ raised {raised}. Its arguments: {arguments or 'unknown'}"
        )


def _trace(error: BaseException) -> str:
    shown = _safely(lambda: _without_our_frames(error), error)
    try:
        return "".join(traceback.format_exception(shown))
    except BaseException:
        return "".join(traceback.format_tb(error.__traceback__))


def _is_non_retryable(error: BaseException) -> bool:
    return _is_task_failure(error) and bool(getattr(error, "non_retryable", False))


def _is_task_failure(error: BaseException) -> bool:
    return issubclass(type(error), TaskFailure)  # isinstance would ask the exception for its __class__


def _without_our_frames(error: BaseException) -> BaseException:
    """Remove the frames of this library above the user's frames: users look for their own line."""
    own_package = __name__.split(".")[0]
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__", "").split(".")[0] == own_package:
        frame = frame.tb_next
    return error if frame is None else BaseException.with_traceback(error, frame)
