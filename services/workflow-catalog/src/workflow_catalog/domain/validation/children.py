"""Tasks that run another workflow as their child."""

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
    """What the catalog has of a workflow that others may run as a child."""

    status: WorkflowStatus
    last_version: int
    children: frozenset[str] = frozenset()
    """The workflows that its active version runs as children."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other workflows of the namespace, as far as the definition leads to them."""

    workflow_id: str = ""
    """Of the definition that is checked."""
    known: Mapping[str, KnownWorkflow] = field(default_factory=dict)
    similar: Sequence[str] = ()
    """Ids to suggest where one is not known."""


def child_ids(definition: Mapping[str, Json]) -> frozenset[str]:
    """The workflows that a definition runs as children."""
    return frozenset(
        child
        for task in definition.get("tasks", [])
        if (child := task.get("workflow", {}).get("workflow_id", ""))
    )


def child_problems(tasks: Sequence[Mapping[str, Json]], around: Neighbours) -> Iterator[Problem]:
    """Children that are not said or not there, not Active, that lead back to their parent, or too deep."""
    for index, task in enumerate(tasks):
        place = f"tasks[{index}]"
        if task.get("type") != CHILD_WORKFLOW:
            if "workflow" in task:
                sentence = f"only a task of type `{CHILD_WORKFLOW}` has it: remove it, or change the type"
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
    WorkflowStatus.ARCHIVED: "take another one",
}


def _depth_problems(place: str, child_id: str, around: Neighbours) -> Iterator[Problem]:
    """A chain of children back to the parent, or one that is too long; found breadth first."""
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
