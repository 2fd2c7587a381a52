"""What holds of an execution at any time: after every step, in whatever order they came."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from execution_orchestrator.domain.events import FINAL_EVENT_TYPES, Event, EventType
from execution_orchestrator.domain.execution import Execution
from execution_orchestrator.domain.payloads import problem_of
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.state_machine import (
    FINAL_EXECUTION_STATUSES,
    AttemptStatus,
    ExecutionStatus,
    TaskStatus,
)
from execution_orchestrator.domain.task import NO_ITEM, EndedAttempt, TaskKey, TaskRun

ENDED_WELL = (TaskStatus.SUCCEEDED, TaskStatus.SKIPPED)
ACTIVE = (TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.BACKING_OFF)


@dataclass
class State:
    """Everything that is stored of one execution."""

    execution: Execution
    rows: dict[TaskKey, TaskRun]
    events: list[Event]
    attempts: list[EndedAttempt]
    hints: set[TaskKey]  # that were ever pushed
    now: datetime


def check_state(state: State, plan: Plan) -> None:
    """What holds at any time."""
    for check in _CHECKS:
        check(state)
    _check_needs(state, plan)
    _check_budgets(state, plan)
    _check_fan_outs(state, plan)


def _check_counters(state: State) -> None:
    execution, rows = state.execution, list(state.rows.values())
    statuses = Counter(task.status for task in rows)
    counted = (
        len(rows),
        sum(task.in_flight for task in rows),
        statuses[TaskStatus.SUCCEEDED],
        statuses[TaskStatus.FAILED],
        statuses[TaskStatus.CANCELLED],
        statuses[TaskStatus.SKIPPED],
    )
    assert execution.counts == counted, "the counters are not what the rows say"
    assert execution.tasks_open == sum(not task.final for task in rows)
    assert state.events[-1].counts == counted or not execution.final


def _check_events(state: State) -> None:
    assert [event.sequence for event in state.events] == list(range(1, len(state.events) + 1))
    assert state.execution.last_sequence == len(state.events)
    assert state.events[0].type is EventType.EXECUTION_CREATED
    finals = [event for event in state.events if event.type in FINAL_EVENT_TYPES]
    assert len(finals) == (1 if state.execution.final else 0)
    assert not finals or finals[0] is state.events[-1], "something happened after the end"


def _check_final(state: State) -> None:
    execution = state.execution
    assert execution.final is (execution.status in FINAL_EXECUTION_STATUSES)
    if not execution.final:
        assert execution.end_time is None
        assert execution.wake_time is not None or execution.frozen
        return
    assert execution.end_time is not None
    assert execution.wake_time is None
    assert execution.pause is None
    assert execution.paused_from is None
    assert execution.quarantine is None
    assert (execution.failure is not None) is (execution.status is ExecutionStatus.FAILED)
    assert execution.output is None or execution.status is ExecutionStatus.COMPLETED
    assert all(task.final for task in state.rows.values()), "the end left a task open"


def _check_rows(state: State) -> None:
    execution = state.execution
    for task in state.rows.values():
        queued = task.status is TaskStatus.READY and not execution.frozen
        assert (task.ready_time is not None) is queued, f"{task.key}: READY and in the queue are not the same"
        has_timer = task.in_flight or task.status in (TaskStatus.READY, TaskStatus.BACKING_OFF)
        is_frozen = execution.quarantine is not None if task.in_flight else execution.frozen
        assert (task.frozen is not None) is (has_timer and is_frozen), f"{task.key}: frozen"
        timed = has_timer and not is_frozen
        assert (task.wake_time is not None) is timed, f"{task.key}: {task.status}, wakes at {task.wake_time}"
        assert (task.end_time is not None) is task.final
        assert not queued or task.key in state.hints, f"{task.key} is READY and nobody was told"


THAWS = frozenset({EventType.EXECUTION_RELEASED, EventType.EXECUTION_RESUMED})
"""Events that set the timers of attempts in flight again: at once, if their time was over before."""


def _check_leases(state: State) -> None:
    thaws = {event.time for event in state.events if event.type in THAWS}
    for task in state.rows.values():
        times = (task.lease_expire_time, task.close_time, task.silence_time)
        if task.in_flight:
            deadline = min(time for time in times if time is not None)
            was_over = task.wake_time in thaws and task.wake_time > deadline
            assert task.wake_time == (None if task.frozen is not None else deadline) or was_over
            assert task.worker_id is not None
        else:
            assert times == (None, None, None)
            assert task.boot_id is None


def _check_pause(state: State) -> None:
    execution = state.execution
    paused = execution.status is ExecutionStatus.PAUSED
    assert (execution.pause is not None) is paused
    assert (execution.paused_from is not None) is paused
    if execution.pause is not None and not execution.cancel_requested:
        assert (execution.pause.quiesced_time is not None) is (execution.tasks_running == 0)
    if execution.frozen and not execution.cancel_requested:
        assert execution.timeout_time is None
        assert execution.timeout_remaining is not None
    if not execution.frozen:
        assert execution.timeout_remaining is None
    counted = Counter(event.type for event in state.events)
    assert counted[EventType.EXECUTION_QUIESCED] <= counted[EventType.EXECUTION_PAUSED]


def _check_quarantine(state: State) -> None:
    """Quarantines and releases take turns; the end comes in place of the last release."""
    counted = Counter(event.type for event in state.events)
    open_ = counted[EventType.EXECUTION_QUARANTINED] - counted[EventType.EXECUTION_RELEASED]
    assert open_ in (0, 1)
    assert (state.execution.quarantine is not None) is (open_ == 1 and not state.execution.final)


def _check_cancel(state: State) -> None:
    execution = state.execution
    assert execution.cancel_requested is (execution.cancel_deadline is not None)
    requests = [event for event in state.events if event.type is EventType.CANCEL_REQUESTED]
    assert len(requests) == (1 if execution.cancel_requested else 0)
    if execution.cancel_requested and not execution.final:
        assert execution.tasks_running > 0, "a cancel waits for nothing"
        assert all(task.final or task.in_flight for task in state.rows.values())


def _check_attempts(state: State) -> None:
    fences = [(attempt.key, attempt.epoch) for attempt in state.attempts]
    assert len(fences) == len(set(fences)), "an attempt ended twice"
    for task in state.rows.values():
        assert task.failed_attempts + task.lost_attempts <= task.attempt
        worked = task.status is TaskStatus.SUCCEEDED and task.attempt > 0
        assert (task.output is not None) is worked, f"{task.key}: {task.status}, output {task.output}"
        assert task.output is None or problem_of(task.output, "it") is None, "a bad result was kept"


_CHECKS: tuple[Callable[[State], None], ...] = (
    _check_counters,
    _check_events,
    _check_final,
    _check_rows,
    _check_leases,
    _check_pause,
    _check_quarantine,
    _check_cancel,
    _check_attempts,
)


def _goes_on(state: State) -> bool:
    """Whether the graph is still worked on; a failure or a cancel stops that."""
    execution = state.execution
    return not execution.final and not execution.cancel_requested and execution.failure is None


def _check_needs(state: State, plan: Plan) -> None:
    for task_id, task_plan in plan.tasks.items():
        task = state.rows[TaskKey(task_id)]
        ended = [state.rows[TaskKey(needed)].status in ENDED_WELL for needed in task_plan.needs]
        assert all(ended) or task.status in (TaskStatus.BLOCKED, TaskStatus.CANCELLED), (
            f"{task_id} began early"
        )
        if _goes_on(state):
            assert task.unmet_needs == ended.count(False), f"{task_id}: unmet_needs"
            assert (task.status is TaskStatus.BLOCKED) is (task.unmet_needs > 0), f"{task_id} was forgotten"


def _check_budgets(state: State, plan: Plan) -> None:
    """Every attempt that gave nothing is charged to one budget, or to nobody; none is overdrawn."""
    for key, task in state.rows.items():
        policy = plan.tasks[key.task_id].retry_policy
        ended = [attempt for attempt in state.attempts if attempt.key == key]
        lost = [attempt for attempt in ended if attempt.status is AttemptStatus.LOST]
        failed = [attempt for attempt in ended if attempt.failure is not None and attempt not in lost]
        assert (task.failed_attempts, task.lost_attempts) == (len(failed), len(lost)), (
            f"{key}: charged wrongly"
        )
        assert task.failed_attempts < policy.maximum_attempts or task.final, f"{key}: retried too often"
        assert task.lost_attempts <= policy.maximum_lost_attempts or task.final, f"{key}: loops for ever"


def _check_fan_outs(state: State, plan: Plan) -> None:
    for task_id, task_plan in plan.tasks.items():
        parent = state.rows[TaskKey(task_id)]
        if task_plan.fan_out is None or parent.status in (TaskStatus.BLOCKED, TaskStatus.SKIPPED):
            continue
        items = [
            task for key, task in sorted(state.rows.items()) if key.task_id == task_id and key.item != NO_ITEM
        ]
        active = [task for task in items if task.status in ACTIVE]
        limit = task_plan.fan_out.max_parallel or len(items)
        assert len(active) <= limit, f"{task_id}: more items at the same time than max_parallel"
        if _goes_on(state):
            unfinished = sum(task.status is not TaskStatus.SUCCEEDED for task in items)
            assert parent.items_open == unfinished
            assert len(active) == min(limit, unfinished), f"{task_id}: an item was forgotten"
            blocked = [task.status is TaskStatus.BLOCKED for task in items]
            assert blocked == sorted(blocked), f"{task_id}: items did not start in order"
            assert parent.next_item == blocked.count(False)
