"""The exit codes, which report the result to scripts."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes. The values are a contract; `workflowctl --help` lists them."""

    OK = 0
    """Success. For `watch`: the execution is Completed."""
    EXECUTION_FAILED = 1
    """The watched execution Failed."""
    USAGE = 2
    """The command line, or a file that it names, is wrong. Nothing was sent."""
    NOT_FOUND = 3
    """The workflow or the execution does not exist."""
    REFUSED = 4
    """The service refused the request: it is invalid, or the status does not allow it."""
    UNAVAILABLE = 5
    """The service did not answer in time, or is overloaded: try again."""
    EXECUTION_CANCELLED = 6
    """The watched execution was Cancelled."""
    INTERNAL = 7
    """A defect of the service. Its log has more."""
    OUTPUT = 8
    """Standard output, or the file to write, cannot be written: the disk is full, or a pipe has no reader.

    Changes that the command made are kept. A command that failed for another reason keeps its own code.
    """
    DEFECT = 9
    """A defect of workflowctl itself. `--debug` shows the place."""
    HANGUP = 129
    """SIGHUP: the terminal is gone. A watched execution continues."""
    INTERRUPTED = 130
    """SIGINT, from Ctrl-C. A watched execution continues."""
    TERMINATED = 143
    """SIGTERM. A watched execution continues."""


TABLE = "\n\n".join(
    (
        "Exit codes: 0 done, or Completed · 1 the execution Failed · 6 it was Cancelled",
        "2 wrong usage or file · 3 not found · 4 refused: invalid, or not in this status",
        "5 no answer: try again · 7 a defect of the service · 8 the output cannot be written",
        "9 a defect of workflowctl · 129 SIGHUP · 130 interrupted · 143 SIGTERM",
    )
)
