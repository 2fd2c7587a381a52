"""Prepare standard input, output and error, so that the command notices every failure of them.

Python notices a full disk only when it ends, and then with a traceback and an exit code of its own. It never
notices a stream that was closed before the start. After `prepare`, a failed write of standard output raises
OutputError. A failed write of standard error is ignored, because no stream is left to report it.

This module imports the standard library only, because `main` needs it before anything else.
"""

from __future__ import annotations

import errno
import io
import os
import sys

from workflowctl.exit_codes import ExitCode


class OutputError(Exception):
    """Standard output, or a file that the user named, cannot be written."""

    def __init__(self, error: OSError, name: str = "standard output") -> None:
        hint = "" if name != "standard output" else "; changes that the command made are kept"
        super().__init__(f"{name} cannot be written: {error.strerror or error}{hint}")
        self.is_broken_pipe = error.errno == errno.EPIPE
        """True if the program that reads the output has ended. Then no message is needed."""


class _Results(io.TextIOWrapper):
    """Standard output."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputError(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(error) from None


class _Notes(io.TextIOWrapper):
    """Standard error."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _send_to_nowhere(2)


def prepare() -> None:
    """Replace the streams of this process. Call it once, before anything is read or written."""
    # Give a closed stream a descriptor that fails when it is used. Otherwise the next socket would get its
    # number.
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = _wrapped(sys.stdout, 1, _Results)
    sys.stderr = _wrapped(sys.stderr, 2, _Notes)


def _wrapped(stream: object, descriptor: int, kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    if not isinstance(stream, io.TextIOWrapper):
        raw = io.FileIO(descriptor, "w", closefd=False)
        return kind(io.BufferedWriter(raw), "utf-8", "backslashreplace")
    encoding, line_buffering = stream.encoding, stream.line_buffering
    return kind(stream.detach(), encoding, "backslashreplace", line_buffering=line_buffering)


def finish(code: int) -> int:
    """Write the rest of the buffers, and return the exit code: the given one, or OUTPUT in place of 0."""
    try:
        sys.stdout.flush()
    except OutputError as error:
        tell_output(error)
        code = code or ExitCode.OUTPUT
    sys.stderr.flush()
    return code


def tell_output(error: OutputError) -> None:
    """Report that the output cannot be written, and drop the rest of it."""
    if not error.is_broken_pipe:
        sys.stderr.write(f"error: {error}\n")
    _send_to_nowhere(1)


def _send_to_nowhere(descriptor: int) -> None:
    """Send the rest of the buffer to the null device, so that it does not fail again when the interpreter
    ends.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def write_utf8(text: str) -> None:
    """Write a text for other programs to standard output: in UTF-8, whatever the terminal's encoding is."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except OSError as error:
        raise OutputError(error) from None


def decoded(argument: str) -> str:
    """Return an argument as UTF-8, even if the locale is C. Keep names of files that are not text."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        return argument


def file_name(text: str) -> bytes:
    """Return the bytes of a file's name, even if the locale is C.

    Raise ValueError if no file can have this name.
    """
    return text.encode("utf-8", "surrogateescape")
