"""The commands of workers: claims and reports. The epoch and the token fence off reports of old claims."""

from execution_orchestrator.domain.commands import (
    Cancelled,
    ClaimTask,
    Failed,
    HandedBack,
    ReportTask,
    Succeeded,
)
from execution_orchestrator.domain.decision import Decision, Effect
from execution_orchestrator.domain.events import EventType
from execution_orchestrator.domain.failure import HANDLER_CANCELLED, TIMEOUTS, Failure
from execution_orchestrator.domain.payloads import CheckedPayload, size_bytes
from execution_orchestrator.domain.plan import OutputCheck
from execution_orchestrator.domain.rules.finishing import begin, settle
from execution_orchestrator.domain.rules.scheduling import make_ready, succeed_item, unblock_dependants
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import (
    AttemptStatus,
    ExecutionStatus,
    TaskStatus,
    TaskTrigger,
)
from execution_orchestrator.domain.task import NO_ITEM, Lease, TaskRun

CLAIMABLE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})

# The retry policy is charged: otherwise a handler that always does this would run again without end.
_UNASKED = Failure(HANDLER_CANCELLED, "the handler stopped as if cancelled, and nobody had asked for that")


def claim(t: Transition, command: ClaimTask) -> Decision:
    """Give the task to a worker, if it is still READY and its execution may run.

    The engine repeats a claim if it does not know whether the commit happened. A repeat gets the same lease.
    """
    execution = t.execution
    before = t.task(command.key)
    if before.in_flight and before.claim_token == command.token:
        repeated = t.unchanged()
        repeated.lease = _lease_of(t, before)
        return repeated
    if execution.status not in CLAIMABLE or execution.quarantine is not None or execution.cancel_requested:
        return t.unchanged()
    if before.status is not TaskStatus.READY:
        return t.unchanged()
    task = t.edit(command.key)
    plan = t.plan_of(task.key)
    t.move_task(task, TaskTrigger.CLAIM)
    task.epoch += 1
    task.attempt += 1
    task.worker_id, task.boot_id, task.claim_token = command.worker_id, command.boot_id, command.token
    task.ready_time = None
    task.start_time = t.now
    task.lease_expire_time = t.now + command.lease_ttl
    task.close_time = t.now + plan.start_to_close
    task.silence_time = None if plan.heartbeat_timeout is None else t.now + plan.heartbeat_timeout
    task.wake_time = task.deadline
    begin(t)
    execution.tasks_running += 1  # not before EXECUTION_STARTED: the counts of an event are those after it
    t.event(EventType.TASK_STARTED, task)
    t.decision.lease = _lease_of(t, task)
    return t.done()


def _lease_of(t: Transition, task: TaskRun) -> Lease:
    execution, plan = t.execution, t.plan_of(task.key)
    return Lease(
        execution.id,
        execution.namespace,
        execution.workflow_id,
        task.key,
        task.epoch,
        task.attempt,
        task.task_type,
        t.input_of(task),
        plan.start_to_close,
        plan.heartbeat_timeout,
        task.claim_token or b"",
    )


def report(t: Transition, command: ReportTask) -> Decision:
    """Record the outcome of a claim: at most once, and only for the claim that holds."""
    task = t.task(command.key)
    if command.epoch != task.epoch or command.token != (task.claim_token or b""):
        return t.unchanged(Effect.STALE)
    if not task.in_flight:
        return t.unchanged()  # recorded before: the acknowledgement was lost
    task = t.edit(command.key)
    effect = Effect.APPLIED
    match command.outcome:
        case Succeeded() as success:
            problem = success.problem(_output_check(t, task), t.snapshot.evaluated)
            if problem is None:
                _succeed(t, task, success.checked)
            else:
                fail_attempt(t, task, problem, AttemptStatus.FAILED)
                effect = Effect.REJECTED
        case Failed(failure):
            timed_out = failure.type in TIMEOUTS  # the worker noticed the timeout before the engine
            fail_attempt(t, task, failure, AttemptStatus.TIMED_OUT if timed_out else AttemptStatus.FAILED)
        case Cancelled() if t.execution.cancel_requested:
            give_back(t, task, AttemptStatus.CANCELLED)
        case Cancelled():
            fail_attempt(t, task, _UNASKED, AttemptStatus.CANCELLED)
        case HandedBack():
            give_back(t, task, AttemptStatus.HANDED_BACK)
    settle(t)
    return t.done(effect)


def _output_check(t: Transition, task: TaskRun) -> OutputCheck | None:
    """Return the check of the task's output against its schema, or None.

    Return None also if the plan is not available: reports to an execution that is being cancelled need none.
    """
    plan = t.snapshot.available_plan
    return None if plan is None else plan.tasks[task.key.task_id].output_schema


def _succeed(t: Transition, task: TaskRun, output: CheckedPayload) -> None:
    t.move_task(task, TaskTrigger.SUCCEED)
    task.output, task.output_bytes = output.text, size_bytes(output.text)
    t.parsed[output.text] = output.value
    t.execution.tasks_running -= 1
    t.clear_lease(task)
    t.event(EventType.TASK_SUCCEEDED, task)
    if t.execution.cancel_requested or t.execution.failure is not None:
        return
    if task.key.item == NO_ITEM or succeed_item(t, task):
        unblock_dependants(t, task.key.task_id)


def fail_attempt(t: Transition, task: TaskRun, failure: Failure, status: AttemptStatus) -> None:
    """End an attempt that failed or timed out: back off if the retry policy allows it, else fail the task."""
    policy = t.plan_of(task.key).retry_policy
    task.failed_attempts += 1
    refusal = policy.refusal(failure, task.failed_attempts)
    if t.execution.cancel_requested and not refusal:
        refusal = "cancel requested"
    failure = task.failure = task.locate(failure, refusal)
    t.release(task, status, failure)
    if refusal:
        fail_task(t, task, failure)
        return
    t.move_task(task, TaskTrigger.RETRY)
    delay = policy.delay(task.failed_attempts, f"{t.execution.id}/{task.key}/{task.attempt}")
    if t.execution.frozen:
        task.frozen = delay  # the back-off begins when the execution continues
    else:
        task.wake_time = t.now + delay
    t.event(EventType.TASK_RETRY_SCHEDULED, task, failure=failure, next_attempt_time=task.wake_time)


def fail_task(t: Transition, task: TaskRun, failure: Failure) -> None:
    """Fail the task, and with it the execution, unless the execution is being cancelled."""
    t.move_task(task, TaskTrigger.FAIL)
    if not t.execution.cancel_requested:
        t.execution.failure = t.execution.failure or failure
    t.event(EventType.TASK_FAILED, task, failure=failure)


def give_back(t: Transition, task: TaskRun, status: AttemptStatus, failure: Failure | None = None) -> None:
    """Take the task from a worker that is lost, hands it back, or stopped it.

    If the execution is being cancelled, cancel the task; otherwise make it READY again.
    """
    t.release(task, status, failure)
    if t.execution.cancel_requested:
        t.move_task(task, TaskTrigger.CANCEL)
        t.event(EventType.TASK_CANCELLED, task)
        return
    t.move_task(task, TaskTrigger.REQUEUE)
    make_ready(t, task)
    t.event(EventType.TASK_REQUEUED, task, failure=failure, reason=str(status))
