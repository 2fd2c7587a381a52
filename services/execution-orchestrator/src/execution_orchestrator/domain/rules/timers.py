"""The commands of time. The row and the primary's clock decide what is due, not the one who noticed it."""

from execution_orchestrator.domain.commands import LoseClaim, WakeTask
from execution_orchestrator.domain.decision import Decision
from execution_orchestrator.domain.failure import (
    EXECUTION_TIMEOUT,
    HEARTBEAT_TIMEOUT,
    NON_RETRYABLE,
    SCHEDULE_TO_START_TIMEOUT,
    START_TO_CLOSE_TIMEOUT,
    WORKER_LOST,
    Failure,
)
from execution_orchestrator.domain.rules.claims import fail_attempt, fail_task, give_back
from execution_orchestrator.domain.rules.finishing import end_cancelled, end_failed, settle
from execution_orchestrator.domain.rules.scheduling import fail_unstarted, make_ready
from execution_orchestrator.domain.rules.transition import Transition
from execution_orchestrator.domain.state_machine import (
    FINAL_EXECUTION_STATUSES,
    AttemptStatus,
    ExecutionTrigger,
    TaskStatus,
    TaskTrigger,
)
from execution_orchestrator.domain.task import TaskRun


def wake_task(t: Transition, command: WakeTask) -> Decision:
    """Act on the end of an unconfirmed claim's lease, of a timeout or of a back-off.

    If nothing is due, the execution stays unchanged.
    """
    task = t.task(command.key)
    if task.wake_time is None or task.wake_time > t.now or t.execution.final:
        return t.unchanged()
    task = t.edit(command.key)
    match task.status:
        case TaskStatus.RUNNING:
            _end_attempt(t, task)
        case TaskStatus.BACKING_OFF:
            t.move_task(task, TaskTrigger.BACK_OFF_OVER)
            task.wake_time = None
            make_ready(t, task)
        case TaskStatus.READY:
            plan = t.plan_of(task.key)
            message = (
                f"no worker took the task within {plan.schedule_to_start.total_seconds():g} s; start workers "
                f"that have `{task.task_type}` and serve queue `{task.queue}`, or raise schedule_to_start"
            )
            failure = Failure(SCHEDULE_TO_START_TIMEOUT, message, retry_state="waited too long in the queue")
            fail_unstarted(t, task, failure)
        case _:
            return t.unchanged()
    settle(t)
    return t.done()


def lose_claim(t: Transition, command: LoseClaim) -> Decision:
    """Take a confirmed claim from a worker that is lost. Do nothing if the claim is over.

    Do nothing either while the execution is quarantined: the reaper finds the claim again after the release.
    """
    task = t.task(command.key)
    if t.execution.quarantine is not None or not task.confirmed:
        return t.unchanged()
    if (task.epoch, task.boot_id) != (command.epoch, command.boot_id):
        return t.unchanged()
    task = t.edit(command.key)
    task.lease_expire_time = command.lease_expire_time
    _end_attempt(t, task)
    settle(t)
    return t.done()


def _end_attempt(t: Transition, task: TaskRun) -> None:
    """End the attempt. The first of its deadlines decides which budget is charged, however late the timer
    is.
    """
    plan = t.plan_of(task.key)
    if task.deadline == task.close_time:
        message = f"the attempt took longer than start_to_close, {plan.start_to_close.total_seconds():g} s"
        _time_out(t, task, Failure(START_TO_CLOSE_TIMEOUT, message))
    elif task.deadline == task.silence_time and task.heartbeat_timeout is not None:
        message = f"the handler gave no heartbeat for {task.heartbeat_timeout.total_seconds():g} s"
        _time_out(t, task, Failure(HEARTBEAT_TIMEOUT, message))
    else:
        _lose(t, task)


def _time_out(t: Transition, task: TaskRun, failure: Failure) -> None:
    fail_attempt(t, task, failure, AttemptStatus.TIMED_OUT)
    t.revoke(task)


def _lose(t: Transition, task: TaskRun) -> None:
    """Charge a lost lease to its own budget, so that a crashing node does not fail good work.

    The budget is charged also if the worker never confirmed the claim. Such a claim may have been lost on its
    way, or its handler may have killed the worker at once. Nobody can tell these apart, and a task that kills
    its workers must not run again without end.
    """
    budget = t.plan_of(task.key).retry_policy.maximum_lost_attempts
    message = f"worker `{task.worker_id}` did not renew its lease"
    task.lost_attempts += 1
    exhausted = task.lost_attempts > budget and not t.execution.cancel_requested
    failure = task.locate(Failure(WORKER_LOST, message), "lost attempts exhausted" if exhausted else "")
    task.failure = failure
    if exhausted:
        t.release(task, AttemptStatus.LOST, failure)
        fail_task(t, task, failure)
    else:
        give_back(t, task, AttemptStatus.LOST, failure)
    t.revoke(task)


def wake_execution(t: Transition) -> Decision:
    """End the execution if its cancel deadline or its timeout has passed."""
    execution = t.execution
    if execution.status in FINAL_EXECUTION_STATUSES:
        return t.unchanged()
    if execution.cancel_deadline is not None and execution.cancel_deadline <= t.now:
        end_cancelled(t)
        return t.done()
    if execution.timeout_time is not None and execution.timeout_time <= t.now:
        plan = t.snapshot.available_plan  # the timeout takes effect even if nobody can read the definition
        limit = "its execution_timeout" if plan is None else f"{plan.execution_timeout.total_seconds():g} s"
        message = f"the execution took longer than {limit}"
        failure = Failure(EXECUTION_TIMEOUT, message, non_retryable=True, retry_state=NON_RETRYABLE)
        end_failed(t, ExecutionTrigger.TIME_OUT, failure)
        return t.done()
    return t.unchanged()
