"""Plans in one line: `plan_of("a -> b -> d, a -> c -> d", c=Task(when="${input.full}"))`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from execution_orchestrator.domain.plan import FanOut, OutputCheck, Plan, TaskPlan
from execution_orchestrator.domain.retry_policy import RetryPolicy
from workflow_expressions import Scope, compile_condition, compile_template

NO_RETRY = RetryPolicy(maximum_attempts=1, maximum_lost_attempts=0)
STEADY = RetryPolicy(jitter=0.0)
"""Waits 1, 2 and 4 s before its three retries."""

_SCOPE = Scope(tasks=None)
_ITEM_SCOPE = Scope(tasks=None, in_fan_out=True)


@dataclass(frozen=True)
class Task:
    """What is special about a task; times in seconds."""

    input: Any = None  # None: the execution's
    when: str | None = None
    for_each: Any = None
    max_parallel: int = 0
    retry: RetryPolicy = STEADY
    schedule_to_start: float = 300
    start_to_close: float = 300
    heartbeat: float | None = None
    type: str = "noop"
    output_schema: OutputCheck | None = None

    def plan(self, task_id: str, needs: tuple[str, ...]) -> TaskPlan:
        """The task within a plan."""
        fans_out = self.for_each is not None
        return TaskPlan(
            id=task_id,
            type=self.type,
            input=None
            if self.input is None
            else compile_template(self.input, scope=_ITEM_SCOPE if fans_out else _SCOPE),
            schedule_to_start=timedelta(seconds=self.schedule_to_start),
            needs=needs,
            when=None if self.when is None else compile_condition(self.when, scope=_SCOPE),
            retry_policy=self.retry,
            start_to_close=timedelta(seconds=self.start_to_close),
            heartbeat_timeout=None if self.heartbeat is None else timedelta(seconds=self.heartbeat),
            fan_out=FanOut(compile_template(self.for_each, scope=_SCOPE), self.max_parallel)
            if fans_out
            else None,
            output_schema=self.output_schema,
        )


def plan_of(graph: str, *, output: Any = None, timeout: float = 86_400, **tasks: Task) -> Plan:
    """A plan from chains of arrows, one task for each name; `tasks` says what is special about some."""
    return plan_from(needs_of(graph), tasks, output=output, timeout=timeout)


def plan_from(
    needs: Mapping[str, tuple[str, ...]],
    tasks: Mapping[str, Task],
    *,
    output: Any = None,
    timeout: float = 86_400,
) -> Plan:
    """A plan from what each task needs."""
    unknown = set(tasks) - set(needs)
    assert not unknown, f"not in the graph: {unknown}"
    return Plan(
        [tasks.get(task_id, Task()).plan(task_id, those) for task_id, those in needs.items()],
        output=None if output is None else compile_template(output, scope=_SCOPE),
        execution_timeout=timedelta(seconds=timeout),
    )


def needs_of(graph: str) -> dict[str, tuple[str, ...]]:
    """`a -> b, a -> c` as what each task needs."""
    needs: dict[str, tuple[str, ...]] = {}
    for chain in graph.split(","):
        names = [name.strip() for name in chain.split("->")]
        for before, name in zip([None, *names], names, strict=False):
            known = needs.setdefault(name, ())
            if before is not None and before not in known:
                needs[name] = (*known, before)
    return needs
