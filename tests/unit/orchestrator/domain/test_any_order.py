"""Random commands in random order on random graphs: what must hold holds after each of them.

The machine plays the store, the workers, the timers and the users. It is not told what should follow: it
knows only what must be true of every step and of every state (invariants.py), and that everything comes to
an end.
"""

import json
from datetime import timedelta
from typing import Any

from execution_orchestrator.domain import commands
from execution_orchestrator.domain.errors import PlanUnavailableError, StatusConflictError
from execution_orchestrator.domain.failure import Failure
from execution_orchestrator.domain.retry_policy import RetryPolicy
from execution_orchestrator.domain.state_machine import ExecutionStatus, TaskStatus
from execution_orchestrator.domain.task import TaskKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.unit.orchestrator.domain.ending import drive_to_the_end
from tests.unit.orchestrator.domain.plans import Task, plan_from
from tests.unit.orchestrator.domain.world import LEASE_TTL, World

INPUT = {"items": [1, 2, 3, 4], "yes": True, "no": False, "text": "x"}

retries = st.builds(
    RetryPolicy,
    maximum_attempts=st.integers(1, 3),
    maximum_lost_attempts=st.integers(0, 2),
    jitter=st.sampled_from([0.0, 0.2]),
    non_retryable_error_types=st.just(frozenset({"Fatal"})),
)


@st.composite
def tasks(draw: st.DrawFn, upstream: list[str]) -> Task:
    """A task that may use what the tasks before it gave; a few have an expression that fails."""
    fans_out = draw(st.integers(0, 2)) == 0
    broken = draw(st.integers(0, 24)) == 0
    whens = [None, None, None, "${input.yes}", "${input.no}"]
    inputs: list[Any] = [None, {"fixed": 1}, "${input.items}"]
    items: list[Any] = [[1, 2, 3], "${input.items}", "${input.items}", []]
    for task_id in upstream:
        whens.append(f"${{tasks.{task_id}.status == 'SUCCEEDED'}}")
        inputs.append({"of": f"${{tasks.{task_id}.output}}"})
        items.append(f"${{has(input.no) ? [tasks.{task_id}.output, 7] : []}}")
    if broken:
        whens, inputs, items = ["${input.text}", None], ["${input.nothing}"], ["${input.text}", [1]]
    if fans_out:
        inputs += [{"item": "${item}", "index": "${index}"}] * len(inputs)
    return Task(
        input=draw(st.sampled_from(inputs)),
        when=draw(st.sampled_from(whens)),
        for_each=draw(st.sampled_from(items)) if fans_out else None,
        max_parallel=draw(st.integers(0, 3)),
        retry=draw(retries),
        schedule_to_start=draw(st.sampled_from([5, 300, 300, 300, 300, 300])),
        start_to_close=draw(st.sampled_from([10, 300, 300, 300])),
        heartbeat=draw(st.sampled_from([None, None, 8.0])),
    )


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], dict[str, Task], Any]:
    """Up to eight tasks, each needing some of those before it, and the output of the workflow."""
    names = [f"t{number}" for number in range(draw(st.integers(1, 8)))]
    needs: dict[str, tuple[str, ...]] = {}
    for place, name in enumerate(names):
        some = st.lists(st.sampled_from(names[:place]), unique=True, max_size=3) if place else st.just([])
        needs[name] = tuple(draw(some))
    chosen = {name: draw(tasks(sorted(_upstream(needs, name)))) for name in names}
    last = {"last": f"${{tasks.{names[-1]}.output}}"}
    output = draw(st.sampled_from([None, None, last, last, last, "${input.nothing}"]))
    return needs, chosen, output


def _upstream(needs: dict[str, tuple[str, ...]], name: str) -> set[str]:
    return {each for needed in needs[name] for each in (needed, *_upstream(needs, needed))}


UNWELCOME: list[commands.TaskOutcome] = [
    commands.Failed(Failure("Fatal", "it broke")),
    commands.Succeeded("not json"),
    commands.Succeeded('"\\u0000"'),
    commands.Succeeded("[" * 40 + "]" * 40),
]
outcomes = st.one_of(
    st.builds(commands.Succeeded, st.sampled_from([json.dumps({"items": [5, 6]}), '"plain"', "null"])),
    st.builds(commands.Succeeded, st.sampled_from(["1", "[]"])),
    st.builds(commands.Failed, st.just(Failure("Boom", "it broke"))),
    st.sampled_from([*UNWELCOME, commands.Cancelled()]),
    st.just(commands.HandedBack()),
)


timeouts = st.sampled_from([60, 86_400, 86_400, 86_400])


STEERING = [
    commands.PauseExecution(),
    commands.ResumeExecution(),
    commands.CancelExecution(timedelta(seconds=30)),
    commands.QuarantineExecution("it cannot be decided", 5),
    commands.ReleaseExecution(),
]

NEED_NO_PLAN = [
    commands.PauseExecution(),
    commands.QuarantineExecution("nobody can read the plan", 5),
    commands.ReleaseExecution(),
    commands.WakeExecution(),
]


class AnyOrder(RuleBasedStateMachine):
    """One execution after the other, and everyone who may touch it."""

    @initialize(graph=graphs(), timeout=timeouts)
    def start(self, graph: Any, timeout: float) -> None:
        needs, chosen, output = graph
        self.world = World(plan_from(needs, chosen, output=output, timeout=timeout), INPUT)

    @precondition(lambda self: self.world.execution.final)
    @rule(graph=graphs(), timeout=timeouts)
    def start_another(self, graph: Any, timeout: float) -> None:
        self.start(graph, timeout)

    # -- workers ----------------------------------------------------------------------------------

    @precondition(lambda self: self.claimable)
    @rule(data=st.data(), worker=st.sampled_from(["w1", "w2"]), batch=st.booleans())
    def claim_what_is_ready(self, data: st.DataObject, worker: str, batch: bool) -> None:
        self._arrange(data, batch)
        self.world.claim(data.draw(st.sampled_from(self.claimable)), worker=worker)

    @precondition(lambda self: self.claimable)
    @rule(data=st.data(), batch=st.booleans())
    def do_a_task(self, data: st.DataObject, batch: bool) -> None:
        self._arrange(data, batch)
        self.world.work(data.draw(st.sampled_from(self.claimable)), {"items": [8, 9]})

    @precondition(lambda self: self.world.in_flight())
    @rule(data=st.data(), outcome=outcomes, batch=st.booleans())
    def report_a_claim_that_holds(
        self, data: st.DataObject, outcome: commands.TaskOutcome, batch: bool
    ) -> None:
        task = self.world.row(data.draw(st.sampled_from(self.world.in_flight())))
        self._arrange(data, batch)
        self.world.run(commands.ReportTask(task.key, task.epoch, outcome, task.claim_token or b""))

    @precondition(lambda self: self.world.leases)
    @rule(
        data=st.data(),
        outcome=outcomes,
        off_by=st.sampled_from([-1, 0, 0, 1]),
        forged=st.sampled_from([0, 0, 1]),
    )
    def report_any_claim(
        self, data: st.DataObject, outcome: commands.TaskOutcome, off_by: int, forged: bool
    ) -> None:
        lease = data.draw(st.sampled_from(self.world.leases))
        self._arrange(data, batch=False)
        token = b"guessed" if forged else lease.token
        self.world.run(commands.ReportTask(lease.key, lease.epoch + off_by, outcome, token))

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data())
    def claim_again_after_a_lost_answer(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.world.leases))
        self._arrange(data, batch=False)
        row = self.world.row(lease.key)
        holds = row.in_flight and row.epoch == lease.epoch
        if holds or row.status is not TaskStatus.READY:
            command = commands.ClaimTask(lease.key, "w1", "w1-boot", LEASE_TTL, lease.token)
            assert self.world.run(command).lease == (lease if holds else None)

    @rule(data=st.data())
    def claim_by_a_stale_hint(self, data: st.DataObject) -> None:
        self._arrange(data, batch=False)
        self.world.try_claim(data.draw(st.sampled_from(sorted(self.world.rows))), worker="w3")

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data(), alive=st.booleans(), confirms=st.booleans())
    def renew(self, data: st.DataObject, alive: bool, confirms: bool) -> None:
        lease = data.draw(st.sampled_from(self.world.leases))
        self.world.renew(lease, handler_alive=alive, confirms=confirms)

    @rule(
        data=st.data(), off_by=st.sampled_from([-1, 0, 0]), boot_id=st.sampled_from([None, None, "w3-boot"])
    )
    def lose_a_claim_or_not(self, data: st.DataObject, off_by: int, boot_id: str | None) -> None:
        self._arrange(data, batch=False)
        key = data.draw(st.sampled_from(sorted(self.world.rows)))
        self.world.lose(key, epoch=self.world.row(key).epoch + off_by, boot_id=boot_id)

    # -- time -------------------------------------------------------------------------------------

    @precondition(lambda self: not self.world.execution.final)
    @rule(seconds=st.sampled_from([0.5, 1, 4, 9, 31]), fire=st.booleans())
    def let_time_pass(self, seconds: float, fire: bool) -> None:
        self.world.advance(seconds)
        if fire:
            self.world.fire()

    @rule(data=st.data())
    def wake_for_nothing_or_not(self, data: st.DataObject) -> None:
        self._arrange(data, batch=False)
        key = data.draw(st.sampled_from([None, *sorted(self.world.rows)]))
        self.world.run(commands.WakeExecution() if key is None else commands.WakeTask(key))

    # -- users ------------------------------------------------------------------------------------

    @precondition(
        lambda self: self.world.execution.status in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)
    )
    @rule(batch=st.booleans())
    def pause(self, batch: bool) -> None:
        self._steer(commands.PauseExecution(), batch)

    @precondition(lambda self: self.world.execution.status is ExecutionStatus.PAUSED)
    @rule(batch=st.booleans())
    def resume(self, batch: bool) -> None:
        self._steer(commands.ResumeExecution(), batch)

    @precondition(lambda self: self.world.execution.quarantine is None)
    @rule(batch=st.booleans(), plan_is_readable=st.booleans())
    def quarantine(self, batch: bool, plan_is_readable: bool) -> None:
        self._steer(commands.QuarantineExecution("it cannot be decided", 5), batch, plan_is_readable)

    @precondition(lambda self: self.world.execution.quarantine is not None)
    @rule(batch=st.booleans(), plan_is_readable=st.booleans())
    def release(self, batch: bool, plan_is_readable: bool) -> None:
        self._steer(commands.ReleaseExecution(), batch, plan_is_readable)

    @rule(command=st.sampled_from(NEED_NO_PLAN))
    def steer_without_the_plan(self, command: commands.Command) -> None:
        self._steer(command, batch=False, plan_is_readable=False)

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data(), outcome=outcomes)
    def report_without_the_plan(self, data: st.DataObject, outcome: commands.TaskOutcome) -> None:
        lease = data.draw(st.sampled_from(self.world.leases))
        self._try_without_the_plan(commands.ReportTask(lease.key, lease.epoch, outcome))

    @rule(data=st.data())
    def wake_without_the_plan(self, data: st.DataObject) -> None:
        self._try_without_the_plan(commands.WakeTask(data.draw(st.sampled_from(sorted(self.world.rows)))))

    @precondition(lambda self: self.world.in_flight())
    @rule(grace=st.sampled_from([0, 5, 30, 9_000]), batch=st.booleans(), plan_is_readable=st.booleans())
    def cancel(self, grace: int, batch: bool, plan_is_readable: bool) -> None:
        self._steer(commands.CancelExecution(timedelta(seconds=grace)), batch, plan_is_readable)

    @precondition(lambda self: self.world.execution.final or self.world.execution.cancel_requested)
    @rule(command=st.sampled_from(STEERING))
    def steer_in_vain(self, command: commands.Command) -> None:
        self._steer(command, batch=False)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            drive_to_the_end(self.world)

    def _arrange(self, data: st.DataObject, batch: bool) -> None:
        """Choose which rows happen to be loaded, and whether the command joins the batch."""
        self.world.join_batch = batch
        self.world.preload = data.draw(st.lists(st.sampled_from(sorted(self.world.rows)), max_size=3))

    @property
    def claimable(self) -> list[TaskKey]:
        """What a worker can take now."""
        return [] if self.world.execution.frozen else self.world.in_state(TaskStatus.READY)

    def _try_without_the_plan(self, command: commands.Command) -> None:
        """It is decided, or raises and changes nothing."""
        self.world.flush()
        self.world.join_batch, self.world.preload = False, ()
        self.world.plan_is_readable = False
        try:
            self.world.run(command)
        except PlanUnavailableError:
            pass
        finally:
            self.world.flush()
            self.world.plan_is_readable = True

    def _steer(self, command: commands.Command, batch: bool, plan_is_readable: bool = True) -> None:
        self.world.join_batch = batch and plan_is_readable
        world = self.world
        world.plan_is_readable = plan_is_readable
        try:
            world.run(command)
        except StatusConflictError:
            cancelling = world.execution.cancel_requested
            assert world.execution.final or cancelling, "refused to an execution that could do it"
            assert not (cancelling and isinstance(command, commands.CancelExecution))
        finally:
            if not plan_is_readable:
                world.flush()
            world.plan_is_readable = True


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
