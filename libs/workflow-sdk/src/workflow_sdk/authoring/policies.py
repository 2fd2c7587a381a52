"""Policies for a task's attempts: retries, timeouts, queue. The engine has a default for each unset field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from workflowsystem.catalog.v1 import definition_pb2

from workflow_sdk.authoring.errors import WorkflowDefinitionError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When and how often a failed attempt is retried.

    The wait before retry n is `min(initial_interval * backoff_coefficient^(n-1), maximum_interval)`, and
    `jitter` makes it longer or shorter. The catalog checks the limits when the workflow is published.
    """

    initial_interval: timedelta | None = None
    """The wait before the first retry: 1 ms to 24 h; default 1 s."""
    backoff_coefficient: float | None = None
    """The factor from each wait to the next: 1 to 100; default 2."""
    maximum_interval: timedelta | None = None
    """The longest wait: 1 ms to 24 h; default 60 s."""
    maximum_attempts: int | None = None
    """The number of attempts, including the first: 1 (no retry) to 1,000; default 4."""
    jitter: float | None = None
    """By which share a wait may be longer or shorter: 0 to 1; default 0.2."""
    non_retryable_error_types: Sequence[str | type[BaseException]] = field(default=())
    """Failures that are not retried, as exception classes or their names: at most 64."""
    maximum_lost_attempts: int | None = None
    """How often a worker may die while it runs the task, before the task fails: 0 to 1,000; default 5."""

    def to_message(self, what: str) -> definition_pb2.RetryPolicy:
        """Return the contract's message. Raises WorkflowDefinitionError, which names the field of `what`."""
        if isinstance(self.non_retryable_error_types, str | type):
            raise WorkflowDefinitionError(f"{what}.non_retryable_error_types is a list, not a single type")
        types = [each.__name__ if isinstance(each, type) else each for each in self.non_retryable_error_types]
        message = definition_pb2.RetryPolicy()
        fill(message, what, self, ("non_retryable_error_types",))
        fill_field(message, what, "non_retryable_error_types", types)
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The deadlines of a task, each 1 ms to 365 days."""

    schedule_to_start: timedelta | None = None
    """How long it may wait for a worker; default 300 s."""
    start_to_close: timedelta | None = None
    """How long one attempt may take; default 5 min."""
    heartbeat: timedelta | None = None
    """How long the handler may go without a heartbeat. Required if `start_to_close` is over 5 min."""

    def to_message(self, what: str) -> definition_pb2.TaskTimeouts:
        """Return the contract's message. Raises WorkflowDefinitionError, which names the field of `what`."""
        message = definition_pb2.TaskTimeouts()
        fill(message, what, self)
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The policies of every task of a workflow that does not set its own."""

    retry_policy: RetryPolicy | None = None
    """A task's own retry policy replaces the whole of it."""
    timeouts: Timeouts | None = None
    """Each timeout that a task sets replaces the one here."""
    queue: str = ""
    """Empty: the default queue."""

    def to_message(self, what: str) -> definition_pb2.TaskDefaults:
        """Return the contract's message. Raises WorkflowDefinitionError, which names the field of `what`."""
        message = definition_pb2.TaskDefaults()
        fill(message, what, self)
        return message


def duration(value: object, what: str) -> Duration:
    """Return the contract's duration. Raises WorkflowDefinitionError if the value is no timedelta."""
    if not isinstance(value, timedelta):
        raise WorkflowDefinitionError(f"{what} is {value!r}: give a timedelta, such as timedelta(seconds=30)")
    message = Duration()
    message.FromTimedelta(value)
    return message


def fill(message: Any, what: str, options: Any, but: Sequence[str] = ()) -> None:
    """Set the message's fields from the attributes of `options`; None leaves a field unset."""
    for descriptor in message.DESCRIPTOR.fields:
        if descriptor.name not in but:
            fill_field(message, what, descriptor.name, getattr(options, descriptor.name))


def fill_field(message: Any, what: str, name: str, value: Any) -> None:
    """Set one field; None and "" leave it unset. Raises WorkflowDefinitionError for a wrong type."""
    if value is None or value == "":
        return
    place = f"{what}.{name}"
    kind = message.DESCRIPTOR.fields_by_name[name].message_type
    if kind is not None and kind.full_name == Duration.DESCRIPTOR.full_name:
        value = duration(value, place)
    elif hasattr(value, "to_message"):
        value = value.to_message(place)
    try:
        message.MergeFrom(type(message)(**{name: value}))
    except (TypeError, ValueError) as error:
        raise WorkflowDefinitionError(f"{place} can't be {value!r}: {error}") from None
