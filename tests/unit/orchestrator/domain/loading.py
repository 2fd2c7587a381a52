"""How rows come from the store and go back: parts of it, payloads only where they are asked for."""

from collections.abc import Mapping
from copy import deepcopy

from execution_orchestrator.domain.decision import MissingError, Snapshot
from execution_orchestrator.domain.task import NO_ITEM, TaskKey, TaskRun

KEPT = ("input", "output", "failure", "last_ready_time")

Stored = Mapping[TaskKey, TaskRun]


def load(snapshot: Snapshot, missing: MissingError, stored: Stored, execution_input: str) -> None:
    """Add to the snapshot what a decision lacked. It may ask only for what exists."""
    for key in missing.tasks:
        assert key in stored, f"{key} was asked for and does not exist"
        snapshot.tasks.setdefault(key, _without_payloads(stored[key]))
    for key in missing.inputs:
        text = stored[key].input
        assert text is not None, f"the input of {key} was asked for and is not stored"
        snapshot.inputs[key] = text
    for task_id in missing.outputs:
        _load_output(snapshot, task_id, stored)
    if missing.execution_input:
        snapshot.input = execution_input


def _load_output(snapshot: Snapshot, task_id: str, stored: Stored) -> None:
    if snapshot.plan.tasks[task_id].fan_out:
        snapshot.item_outputs[task_id] = {
            key.item: task.output
            for key, task in stored.items()
            if key.task_id == task_id and key.item != NO_ITEM and task.output is not None
        }
    else:
        snapshot.outputs[task_id] = stored[TaskKey(task_id)].output


def merged(task: TaskRun, stored: TaskRun | None) -> TaskRun:
    """A row after its UPDATE: what is kept, and a decision did not set, stays."""
    row = task.copy()
    for name in KEPT:
        if stored is not None and getattr(row, name) is None:
            setattr(row, name, getattr(stored, name))
    return row


def copied(snapshot: Snapshot) -> Snapshot:
    """A deep copy; the plan is shared, as it never changes."""
    return deepcopy(snapshot, {id(snapshot.available_plan): snapshot.available_plan})


def _without_payloads(task: TaskRun) -> TaskRun:
    bare = task.copy()
    bare.input = bare.output = bare.failure = bare.last_ready_time = None
    return bare
