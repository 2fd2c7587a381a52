"""The console script. In every case the process ends with a documented exit code and without a traceback.

All other modules are imported later, so that Ctrl-C during the imports is handled in the same way.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from workflowctl import streams
from workflowctl.exit_codes import ExitCode

DEBUG_OPTION = "--debug"
DEBUG_VARIABLE = "WORKFLOW_DEBUG"


def main() -> NoReturn:
    """Run the command that the command line names, and end the process with its exit code."""
    code: int = ExitCode.INTERRUPTED
    try:
        streams.prepare()
        arguments = [streams.decoded(argument) for argument in sys.argv[1:]]
        debug = DEBUG_OPTION in arguments or bool(os.environ.get(DEBUG_VARIABLE))
        _be_quiet(debug)
        code = streams.finish(_run(arguments, debug))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python would end with a traceback
    except KeyboardInterrupt:
        pass
    sys.exit(code)


def _run(arguments: list[str], debug: bool) -> int:
    try:
        from workflowctl.cli import run

        return run(arguments)
    except streams.OutputError as error:
        streams.tell_output(error)
        return ExitCode.OUTPUT
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BaseException as error:
        _tell_defect(error, debug)
        return ExitCode.DEFECT


def _tell_defect(error: BaseException, debug: bool) -> None:
    from workflowctl.safe_text import one_line

    if debug:
        sys.stderr.write("".join(map(_visible_line, traceback.format_exception(error))))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    what = one_line(f"{type(error).__name__}: {error}"[:500])
    how = "" if debug else f" with the output of the same command with {DEBUG_OPTION}"
    sys.stderr.write(f"error: a defect of workflowctl itself, please report it{how}: {what}{place}\n")


def _visible_line(text: str) -> str:
    from workflowctl.safe_text import visible

    return visible(text)


def _be_quiet(debug: bool) -> None:
    """Keep libraries from writing their own tracebacks, unless the user looks for a defect."""
    if debug:
        logging.basicConfig(level=logging.INFO)
        return
    logging.getLogger().addHandler(logging.NullHandler())
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    threading.excepthook = lambda _: None  # such as of the thread that draws the progress bar
    sys.unraisablehook = lambda _: None
