"""Errors for the user: what is wrong, where, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from workflow_sdk.errors import (
    ConflictError,
    DeadlineError,
    DeniedError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ResumeTokenExpiredError,
    UnavailableError,
    WorkflowError,
)
from workflow_sdk.payloads import PayloadError

from workflowctl.exit_codes import ExitCode
from workflowctl.next_steps import with_commands


class Severity(StrEnum):
    """The severity of a problem."""

    ERROR = "error"
    """The definition cannot be published."""
    WARNING = "warning"
    """The definition can be published, but is probably not what its author means."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its place (a field, or `file:line:column`), and what is wrong."""

    place: str
    text: str
    path: str = field(default="", compare=False)
    """The path in the definition. The text begins with it."""
    severity: Severity = Severity.ERROR
    suggestion: str = field(default="", compare=False)
    """The name that was probably meant. The text contains it too."""

    @property
    def description(self) -> str:
        """Return the text without the path."""
        return self.text.removeprefix(f"{self.path}: ") if self.path else self.text


class CommandError(Exception):
    """Ends the command. It has a sentence, the problems one by one, the next step, and the exit code."""

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        next_step: str = "",
        code: ExitCode = ExitCode.USAGE,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.next_step = next_step
        self.code = code


def from_sdk(error: WorkflowError | PayloadError, address: str) -> CommandError:
    """Return the CommandError for an error of the client. `address` is the gateway that the client called."""
    if isinstance(error, PayloadError):
        return CommandError(str(error))
    if isinstance(error, UnavailableError) and not error.reason:
        return CommandError(
            f"the gateway at {address} does not answer",
            next_step="start one with `make up`, or name yours with --address or WORKFLOW_GATEWAY",
            code=ExitCode.UNAVAILABLE,
        )
    problems = [Problem(violation.field, violation.description) for violation in error.violations]
    message = with_commands(error.message, error.metadata)
    return CommandError(message, problems=problems, code=exit_code_of(error))


def exit_code_of(error: WorkflowError) -> ExitCode:
    """Return the exit code for an error of the client."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.INTERNAL


_CODES: Sequence[tuple[type[WorkflowError], ExitCode]] = (
    (NotFoundError, ExitCode.NOT_FOUND),
    (InvalidRequestError, ExitCode.REFUSED),
    (ConflictError, ExitCode.REFUSED),
    (ResumeTokenExpiredError, ExitCode.REFUSED),
    (DeniedError, ExitCode.REFUSED),
    (OverloadedError, ExitCode.UNAVAILABLE),
    (UnavailableError, ExitCode.UNAVAILABLE),
    (DeadlineError, ExitCode.UNAVAILABLE),
)
