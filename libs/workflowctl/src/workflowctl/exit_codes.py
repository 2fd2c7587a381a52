"""What the exit code tells a script."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The values are a contract; they are listed in `workflowctl --help`."""

    OK = 0
    """Done; for `watch`: the execution is Completed."""
    EXECUTION_FAILED = 1
    """The execution that was watched Failed."""
    USAGE = 2
    """The command line or a file given to it is wrong; nothing was sent."""
    NOT_FOUND = 3
    """No such workflow or execution."""
    REFUSED = 4
    """The service refused: the request is invalid, or the status does not allow it."""
    UNAVAILABLE = 5
    """No answer in time, or too much to do: try again."""
    EXECUTION_CANCELLED = 6
    """The execution that was watched was Cancelled."""
    INTERNAL = 7
    """A defect of the service; its log has more."""
    OUTPUT = 8
    """Standard output, or the file to write, cannot be written: the disk is full, or a pipe has no reader.

    Changes that the command made are kept. A command that failed for another reason keeps its own code.
    """
    DEFECT = 9
    """A defect of workflowctl itself; `--debug` shows where."""
    HANGUP = 129
    """SIGHUP: the terminal is gone. An execution that was watched goes on."""
    INTERRUPTED = 130
    """Ctrl-C. An execution that was watched goes on."""
    TERMINATED = 143
    """SIGTERM. An execution that was watched goes on."""


TABLE = "\n\n".join(
    (
        "Exit codes: 0 done, or Completed · 1 the execution Failed · 6 it was Cancelled",
        "2 wrong usage or file · 3 not found · 4 refused: invalid, or not in this status",
        "5 no answer: try again · 7 a defect of the service · 8 the output cannot be written",
        "9 a defect of workflowctl · 129 SIGHUP · 130 interrupted · 143 SIGTERM",
    )
)
