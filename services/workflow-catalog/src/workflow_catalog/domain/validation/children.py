"""Check the tasks that run another workflow as their child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from workflow_contract.names import CHILD_WORKFLOW

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_CHILD_DEPTH
from workflow_catalog.domain.problem import Problem, unknown, warning
from workflow_catalog.domain.workflow import WorkflowStatus


@dataclass(frozen=True, slots=True)
class KnownWorkflow:
    """The facts about a workflow that the checks of its parents need."""

    status: WorkflowStatus
    last_version: int
    children: frozenset[str] = frozenset()
    """Ids of the workflows that its active version runs as children."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other workflows of the namespace that the definition runs, directly or through its children."""

    workflow_id: str = ""
    """Id of the workflow whose definition is checked."""
    known: Mapping[str, KnownWorkflow] = field(default_factory=dict)
    similar: Sequence[str] = ()
    """Ids to suggest for an unknown one."""


def child_ids(definition: Mapping[str, Json]) -> frozenset[str]:
    """Return the ids of the workflows that a definition runs as children."""
    return frozenset(
        child
        for task in definition.get("tasks", [])
        if (child := task.get("workflow", {}).get("workflow_id", ""))
    )


def child_problems(tasks: Sequence[Mapping[str, Json]], around: Neighbours) -> Iterator[Problem]:
    """Yield a problem for each child that is not named, does not exist or is not Active.

    Also yield a problem if a chain of children leads back to the parent or is too deep.
    """
    for index, task in enumerate(tasks):
        place = f"tasks[{index}]"
        if task.get("type") != CHILD_WORKFLOW:
            if "workflow" in task:
                sentence = f"is only for a task of type `{CHILD_WORKFLOW}`: remove it, or change the type"
                yield Problem(f"{place}.workflow", sentence)
            continue
        if not task.get("workflow", {}).get("workflow_id"):
            yield Problem(f"{place}.workflow.workflow_id", "is missing: name the workflow that the task runs")
            continue
        yield from _problems_of_child(f"{place}.workflow", task["workflow"], around)
        sentence = "child workflows are checked, but this release does not run them yet: a start is refused"
        yield warning(f"{place}.type", sentence)


def _problems_of_child(place: str, child: Mapping[str, Json], around: Neighbours) -> Iterator[Problem]:
    child_id, version = child["workflow_id"], child.get("version", 0)
    if child_id == around.workflow_id:
        yield Problem(f"{place}.workflow_id", "is this workflow itself, which would never end: remove it")
        return
    found = around.known.get(child_id)
    if found is None:
        sentence = f"there is no workflow `{child_id}`"
        field = f"{place}.workflow_id"
        yield unknown(field, sentence, child_id, around.similar, "create and publish it first")
        return
    if found.status is not WorkflowStatus.ACTIVE:
        sentence = f"`{child_id}` is {found.status}, so it cannot start: {_NEXT_STEP[found.status]}"
        yield Problem(f"{place}.workflow_id", sentence)
    if version > found.last_version:
        yield Problem(
            f"{place}.version", f"`{child_id}` has no version {version}: the last is {found.last_version}"
        )
    yield from _depth_problems(f"{place}.workflow_id", child_id, around)


_NEXT_STEP = {
    WorkflowStatus.DRAFT: "publish it first",
    WorkflowStatus.INACTIVE: "activate it first",
    WorkflowStatus.ARCHIVED: "use another workflow",
}


def _depth_problems(place: str, child_id: str, around: Neighbours) -> Iterator[Problem]:
    """Yield a problem for a chain of children that leads back to the parent or is too long. Breadth first."""
    chains: dict[str, list[str]] = {child_id: [child_id]}
    pending = [child_id]
    for each in pending:
        known = around.known.get(each)
        for below in sorted(known.children) if known is not None else ():
            chain = [*chains[each], below]
            if below == around.workflow_id:
                shown = " -> ".join([around.workflow_id, *chain])
                yield Problem(place, f"leads back to this workflow, {shown}, which would never end")
                return
            if len(chain) >= MAX_CHILD_DEPTH:
                yield Problem(place, f"leads over {MAX_CHILD_DEPTH} levels of children: make it flatter")
                return
            if below not in chains:
                chains[below] = chain
                pending.append(below)
