"""What a single decision may do, whatever was asked and by whom."""

from execution_orchestrator.domain.commands import (
    ClaimTask,
    Command,
    LoseClaim,
    ReportTask,
    WakeExecution,
    WakeTask,
)
from execution_orchestrator.domain.decision import Decision, Effect
from execution_orchestrator.domain.events import Event, EventType
from execution_orchestrator.domain.state_machine import (
    EXECUTION_TRANSITIONS,
    FINAL_EXECUTION_STATUSES,
    TASK_TRANSITIONS,
    ExecutionStatus,
    TaskStatus,
)
from execution_orchestrator.domain.task import TaskKey

from tests.unit.orchestrator.domain.invariants import State

MAY_CLAIM = (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)

EXECUTION_EDGES = {(before, after) for (before, _), after in EXECUTION_TRANSITIONS.items()}
TASK_EDGES = {(before, after) for (before, _), after in TASK_TRANSITIONS.items()}


def check_step(
    before: State, decided: State, after: State, decision: Decision, command: Command | None
) -> None:
    """What a single decision may do; `decided` is before its bulk changes."""
    if not decision.changed:
        assert decided == before, "a decision without a change changed something"
        _check_repeated_claim(before, decision, command)
        return
    assert before.execution.status not in FINAL_EXECUTION_STATUSES or command is None
    _check_version(before, after, command)
    _check_execution_edges(before, after, command)
    _check_task_edges(before, decided)
    _check_epochs(before, after)
    _check_revokes(before, after, command)
    _check_steering(before, after)
    _check_claim(before, decided, decision, command)
    _check_fence(before, command)
    _check_due(before, command)
    _check_told(before, after, decision)
    _check_counts(before, decided)


def _check_repeated_claim(before: State, decision: Decision, command: Command | None) -> None:
    """A lease that no change made is that of a claim that holds, and goes only to whoever knows its token."""
    if decision.lease is not None:
        assert isinstance(command, ClaimTask)
        task = before.rows[command.key]
        assert task.in_flight
        assert (decision.lease.epoch, decision.lease.token) == (task.epoch, command.token)


def _check_version(before: State, after: State, command: Command | None) -> None:
    expected = 1 if command is None else before.execution.state_version + 1
    assert after.execution.state_version == expected, "state_version grows by one with each change"
    assert after.events[: len(before.events)] == before.events, "the history was changed"


def _check_execution_edges(before: State, after: State, command: Command | None) -> None:
    status = ExecutionStatus.PENDING if command is None else before.execution.status
    for event in after.events[len(before.events) :]:
        assert event.status == status or (status, event.status) in EXECUTION_EDGES, (
            f"{status} -> {event.status}"
        )
        status = event.status
    assert after.execution.status == status, "a change of the status without an event"


def _check_task_edges(before: State, decided: State) -> None:
    for key, task in decided.rows.items():
        was = before.rows[key].status if key in before.rows else TaskStatus.BLOCKED
        edges = (was, task.status)
        empty_fan_out = edges == (TaskStatus.BLOCKED, TaskStatus.SUCCEEDED) and task.attempt == 0
        assert was is task.status or edges in TASK_EDGES or empty_fan_out, f"{key}: {was} -> {task.status}"
    assert set(before.rows) <= set(decided.rows), "a task run disappeared"


def _check_epochs(before: State, after: State) -> None:
    for key, task in after.rows.items():
        was = before.rows.get(key)
        if was is None:
            assert task.epoch == 0
            continue
        assert task.epoch >= was.epoch, f"{key}: its epoch fell"
        if not was.in_flight and task.in_flight:
            assert task.epoch == was.epoch + 1, f"{key}: claimed without a new fence"


def _check_revokes(before: State, after: State, command: Command | None) -> None:
    """A claim ends by its report, or from our side: then its fence is passed at once."""
    for key, was in before.rows.items():
        reported = isinstance(command, ReportTask) and command.key == key
        if was.in_flight and not after.rows[key].in_flight and not reported:
            assert after.rows[key].epoch == was.epoch + 1, f"{key} was taken back and its fence stands"


def _check_steering(before: State, after: State) -> None:
    was, now = before.execution, after.execution
    if was.status is ExecutionStatus.PAUSED and now.status in MAY_CLAIM:
        assert now.status is was.paused_from, "a resume goes back to the status before the pause"
    if was.cancel_deadline is not None:
        assert now.cancel_deadline is not None
        assert now.cancel_deadline <= was.cancel_deadline, "a cancel was put off"


def _check_claim(before: State, decided: State, decision: Decision, command: Command | None) -> None:
    started = [
        key for key, task in decided.rows.items() if task.in_flight and task.epoch > _epoch(before, key)
    ]
    if not started:
        assert decision.lease is None
        return
    assert isinstance(command, ClaimTask)
    assert started == [command.key]
    assert before.execution.status in MAY_CLAIM, f"claimed while {before.execution.status}"
    assert not before.execution.cancel_requested, "claimed while cancelling"
    assert before.execution.quarantine is None, "claimed while quarantined"
    assert before.rows[command.key].status is TaskStatus.READY
    assert decision.lease is not None
    assert decision.lease.epoch == decided.rows[command.key].epoch


def _check_fence(before: State, command: Command | None) -> None:
    if isinstance(command, ReportTask):
        task = before.rows[command.key]
        assert task.in_flight, "a report was recorded twice"
        assert task.epoch == command.epoch, "a report of a claim that is over was taken"
        assert task.claim_token == command.token, "a report with a guessed token was taken"
    if isinstance(command, LoseClaim):
        task = before.rows[command.key]
        assert task.confirmed, "a claim with a lease of its own was lost with its worker process"
        assert (task.epoch, task.boot_id) == (command.epoch, command.boot_id), "another claim was lost"


def _check_due(before: State, command: Command | None) -> None:
    """A timer that fires early finds nothing to do."""
    if isinstance(command, WakeTask | WakeExecution):
        quarantined = before.execution.quarantine is not None
        assert not quarantined or before.execution.cancel_requested, "a timer took effect in a quarantine"
        row = before.rows[command.key] if isinstance(command, WakeTask) else before.execution
        assert row.wake_time is not None
        assert row.wake_time <= before.now, "a timer took effect before its time"


def _check_told(before: State, after: State, decision: Decision) -> None:
    revoked = [
        key
        for key, task in after.rows.items()
        if key in before.rows and before.rows[key].in_flight and task.epoch > before.rows[key].epoch
    ]
    assert decision.workers_must_check or not revoked, "workers are not told of what was taken from them"
    assert decision.effect in (Effect.APPLIED, Effect.REJECTED)


def _epoch(state: State, key: TaskKey) -> int:
    return state.rows[key].epoch if key in state.rows else 0


NO_CHANGE = (0, 0, 0, 0, 0, 0)
COUNT_CHANGES: dict[EventType, set[tuple[int, ...]]] = {
    EventType.EXECUTION_STARTED: {NO_CHANGE},
    EventType.EXECUTION_PAUSED: {NO_CHANGE},
    EventType.EXECUTION_QUIESCED: {NO_CHANGE},
    EventType.EXECUTION_RESUMED: {NO_CHANGE},
    EventType.EXECUTION_QUARANTINED: {NO_CHANGE},
    EventType.EXECUTION_RELEASED: {NO_CHANGE},
    EventType.EXECUTION_COMPLETED: {NO_CHANGE},
    EventType.TASK_STARTED: {(0, 1, 0, 0, 0, 0)},
    EventType.TASK_SUCCEEDED: {(0, 0, 1, 0, 0, 0), (0, -1, 1, 0, 0, 0)},
    EventType.TASK_RETRY_SCHEDULED: {(0, -1, 0, 0, 0, 0)},
    EventType.TASK_REQUEUED: {(0, -1, 0, 0, 0, 0)},
    EventType.TASK_FAILED: {(0, 0, 0, 1, 0, 0), (0, -1, 0, 1, 0, 0)},
    EventType.TASK_CANCELLED: {(0, -1, 0, 0, 1, 0)},
    EventType.TASK_SKIPPED: {(0, 0, 0, 0, 0, 1)},
}
"""How an event of this type changes total, running, succeeded, failed, cancelled and skipped."""


def _check_counts(before: State, decided: State) -> None:
    """The counts of an event hold after that event: no earlier and no later change is in them."""
    counts: tuple[int, ...] = before.events[-1].counts if before.events else NO_CHANGE
    for event in decided.events[len(before.events) :]:
        change = tuple(now - was for now, was in zip(event.counts, counts, strict=True))
        assert _explains(event, change), f"{event.type} changed the counts by {change}"
        counts = event.counts
    assert counts == decided.execution.counts, "the counts changed without an event"


def _explains(event: Event, change: tuple[int, ...]) -> bool:
    """Whether the event explains the change of the counts."""
    if event.type in COUNT_CHANGES:
        return change in COUNT_CHANGES[event.type]
    total, running, *ended, cancelled, skipped = change
    if event.type in (EventType.EXECUTION_CREATED, EventType.TASK_EXPANDED):
        return total >= 0 and not any(change[1:])
    assert event.type in (
        EventType.CANCEL_REQUESTED,
        EventType.EXECUTION_FAILED,
        EventType.EXECUTION_CANCELLED,
    )
    stops_running = running == 0 or (running < 0 and event.type is not EventType.CANCEL_REQUESTED)
    return stops_running and cancelled >= 0 and not any((total, *ended, skipped))
