"""Ends a process that a handler forked and that then returned from the handler."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import NoReturn


def end_forked_process(error: BaseException | None) -> NoReturn:
    """End a process that a handler forked, as Python ends a program: only the original reports a result.

    Print the exception unless it is SystemExit, flush the output, and exit with the code that a program
    would have. Nothing registered with `atexit` runs: it belongs to the original process.
    """
    code = 0 if error is None else 1
    with contextlib.suppress(BaseException):
        if isinstance(error, SystemExit):
            code = _exit_code(error)
        elif error is not None:
            traceback.print_exception(error)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1
