"""Loads for the decisions of one batch: one statement for each kind of thing, for all executions together.

If a decision asks again for something that was loaded before, it cannot be decided: the database does not
have what the rules need.
"""

from collections.abc import Iterable, Mapping
from uuid import UUID

from execution_orchestrator.application.engine.work import CommandWork
from execution_orchestrator.application.ports.store import LoadedOutput, RunKey, Transaction
from execution_orchestrator.domain.commands import ClaimTask, LoseClaim, ReportTask, WakeTask
from execution_orchestrator.domain.decision import MissingError, Snapshot
from execution_orchestrator.domain.plan import Plan
from execution_orchestrator.domain.task import NO_ITEM, TaskKey

Lacking = Mapping[UUID, MissingError]
"""The things that the next decision of each execution lacks."""


class Loading:
    """Loads rows into the snapshots of one batch, within its transaction."""

    def __init__(self, snapshots: Mapping[UUID, Snapshot]) -> None:
        self._snapshots = snapshots
        self._absent: set[RunKey] = set()
        self._asked: dict[UUID, set[object]] = {}

    def is_absent(self, id_: UUID, key: TaskKey) -> bool:
        """Return whether a load found that the task run does not exist."""
        return (id_, key) in self._absent

    def is_stuck(self, id_: UUID, lack: MissingError) -> bool:
        """Return whether all that the decision lacks was loaded before, so that a load would not help."""
        wanted = _things(lack)
        asked = self._asked.setdefault(id_, set())
        if wanted <= asked:
            return True
        asked |= wanted
        return False

    async def load(self, tx: Transaction, lacking: Lacking) -> None:
        """Load what the decisions lack into the snapshots. Raise what the transaction raises."""
        if tasks := [(id_, key) for id_, lack in lacking.items() for key in lack.tasks]:
            await self._load_tasks(tx, tasks)
        if inputs := [(id_, key) for id_, lack in lacking.items() for key in lack.inputs]:
            for id_, key, text in await tx.load_task_inputs(sorted(inputs)):
                self._snapshots[id_].inputs[key] = text
        if wanted := [id_ for id_, lack in lacking.items() if lack.execution_input]:
            for id_, text in await tx.load_execution_inputs(sorted(wanted)):
                self._snapshots[id_].input = text
        if outputs := [(id_, task_id) for id_, lack in lacking.items() for task_id in lack.outputs]:
            self._add_outputs(outputs, await tx.load_outputs(sorted(outputs)))

    async def _load_tasks(self, tx: Transaction, keys: list[RunKey]) -> None:
        found = await tx.load_tasks(sorted(keys))
        self._absent.update(set(keys) - {(id_, task.key) for id_, task in found})
        for id_, task in found:
            self._snapshots[id_].tasks.setdefault(task.key, task)

    def _add_outputs(self, wanted: list[tuple[UUID, str]], rows: list[LoadedOutput]) -> None:
        for id_, task_id in wanted:
            snapshot = self._snapshots[id_]
            if snapshot.plan.tasks[task_id].fan_out:
                snapshot.item_outputs[task_id] = {}
            else:
                snapshot.outputs[task_id] = None  # skipped, or without a result
        for id_, task_id, item, output, too_large in rows:
            snapshot = self._snapshots[id_]
            if too_large:
                snapshot.too_large.add(task_id)
            if output is None:
                continue
            if item == NO_ITEM:
                snapshot.outputs[task_id] = output
            else:
                snapshot.item_outputs[task_id][item] = output


def needs_of(works: Iterable[CommandWork], plan: Plan | None) -> MissingError:
    """Return what the commands to one execution surely need, so that most of them are decided only once."""
    if plan is None:
        return MissingError()
    tasks: set[TaskKey] = set()
    inputs: set[TaskKey] = set()
    for work in works:
        match work.command:
            case ClaimTask(key):
                tasks.add(key)
                inputs.add(key)
            case ReportTask(key):
                tasks.add(key)
                tasks.update(_touched(plan, key))
            case WakeTask(key) | LoseClaim(key):
                tasks.add(key)
    own = {key for key in inputs if key.task_id in plan.tasks and plan.tasks[key.task_id].input is not None}
    return MissingError(tasks=tasks, inputs=own, execution_input=own != inputs)


def _touched(plan: Plan, key: TaskKey) -> list[TaskKey]:
    """Return the task runs that a result of this one changes."""
    if key.item != NO_ITEM:
        return [TaskKey(key.task_id)]
    return [TaskKey(each) for each in plan.dependants.get(key.task_id, ())]


def _things(lack: MissingError) -> set[object]:
    things: set[object] = {("task", key) for key in lack.tasks}
    things |= {("input", key) for key in lack.inputs}
    things |= {("output", task_id) for task_id in lack.outputs}
    if lack.execution_input:
        things.add("execution input")
    return things
