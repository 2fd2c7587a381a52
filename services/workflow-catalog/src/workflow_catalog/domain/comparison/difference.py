"""Find the changes from one definition to another, path by path, and the class of each change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, Final, TypeAlias

from workflow_schemas import ANNOTATIONS

from workflow_catalog.domain.comparison.acceptance import Narrowing, narrowings
from workflow_catalog.domain.comparison.keywords import canonical
from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_CHANGE_VALUE_BYTES, MAX_CHANGES, MAX_DESCRIPTION_CHARS
from workflow_catalog.domain.problem import cut, cut_path
from workflow_catalog.domain.validation.schema import schema_problems


class ChangeClass(IntEnum):
    """The effect of a change on callers. A greater value is a greater effect."""

    NONE = 1
    PATCH = 2  # the tasks do the same work: descriptions, labels, queues, timeouts, retries
    MINOR = 3  # the tasks do other work, but every input that was accepted is still accepted
    MAJOR = 4  # an input that was accepted may be refused


class ChangeKind(StrEnum):
    """The kind of a change at a path."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"


MISSING: Final = object()

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two definitions.

    A value is MISSING if there is no value, or if it is too large to be reported. The path and the reason are
    cut at their limits.
    """

    path: str
    kind: ChangeKind
    change_class: ChangeClass
    before: Any = MISSING
    after: Any = MISSING
    reason: str = ""
    """Why the change is MAJOR."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", cut_path(self.path))
        object.__setattr__(self, "reason", cut(self.reason, MAX_DESCRIPTION_CHARS))


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, sorted by path, and the greatest class among them."""

    changes: tuple[Change, ...] = ()
    change_class: ChangeClass = ChangeClass.NONE


UNCHANGED: Final = Difference()


def compare(old: Mapping[str, Json], new: Mapping[str, Json]) -> Difference:
    """Return at most 1,000 changes between two definitions (JSON of the contract's WorkflowDefinition).

    `old` must be valid. If the input schema of `new` is not valid, nothing is known about the inputs that it
    accepts, so its changes are MAJOR. Tasks are compared by their ids.
    """
    if canonical(old) == canonical(new):
        return UNCHANGED
    narrowed = _narrowed(old.get("input_schema"), new.get("input_schema"))
    differences = list(_differences((), _by_id(old), _by_id(new)))
    found = [_change(path, before, after, narrowed) for path, before, after in differences]
    found += _unplaced(narrowed, [path for path, _, _ in differences])
    found += _order_change(old, new)
    found.sort(key=lambda change: change.path)
    return Difference(tuple(found[:MAX_CHANGES]), max(change.change_class for change in found))


def _narrowed(old: Json, new: Json) -> list[Narrowing]:
    if old == new:
        return []
    if any(schema_problems("input_schema", new)):
        return [Narrowing((), "the schema is not valid, so it is not known what it accepts")]
    return narrowings(old, new)


def _by_id(definition: Mapping[str, Json]) -> dict[str, Json]:
    tasks = definition.get("tasks", [])
    ids = [task.get("id", "") for task in tasks]
    keys = ids if len(set(ids)) == len(ids) and "" not in ids else [str(n) for n in range(len(tasks))]
    return {**definition, "tasks": dict(zip(keys, tasks, strict=True))}


def _differences(path: Path, before: Json, after: Json) -> Iterator[tuple[Path, Json, Json]]:
    if MISSING not in (before, after) and canonical(before) == canonical(after):
        return
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        yield path, before, after
        return
    for key in dict.fromkeys((*before, *after)):
        yield from _differences((*path, key), before.get(key, MISSING), after.get(key, MISSING))


def _change(path: Path, before: Json, after: Json, narrowed: Sequence[Narrowing]) -> Change:
    kind = ChangeKind.CHANGED
    if before is MISSING or after is MISSING:
        kind = ChangeKind.ADDED if before is MISSING else ChangeKind.REMOVED
    change = Change(_shown(path), kind, _class_of(path), _told(before), _told(after))
    if path[0] != "input_schema":
        return change
    reasons = [each.reason for each in narrowed if _meets(path[1:], each.path)]
    if not reasons:
        return change
    return replace(change, change_class=ChangeClass.MAJOR, reason="; ".join(reasons[:5]))


def _meets(path: Path, other: Path) -> bool:
    """Return whether one of the two paths is the beginning of the other."""
    size = min(len(path), len(other))
    return path[:size] == other[:size]


_PATCHES: Final = frozenset({"description", "labels", "owner", "execution_timeout", "defaults"})
_TASK_PATCHES: Final = frozenset({"queue", "retry_policy", "timeouts"})


def _class_of(path: Path) -> ChangeClass:
    if path[0] in _PATCHES:
        return ChangeClass.PATCH
    if path[0] == "tasks" and len(path) > 2 and path[2] in _TASK_PATCHES:
        return ChangeClass.PATCH
    if path[0] == "input_schema" and path[-1] in ANNOTATIONS and path[-2:-1] != ("properties",):
        return ChangeClass.PATCH
    return ChangeClass.MINOR


def _unplaced(narrowed: Sequence[Narrowing], changed: Sequence[Path]) -> Iterator[Change]:
    """Yield a change for each narrowing at an unchanged path: a part that it refers to has changed."""
    within = [path[1:] for path in changed if path[0] == "input_schema"]
    for each in narrowed:
        if not any(_meets(path, each.path) for path in within):
            path = _shown(("input_schema", *each.path))
            yield Change(path, ChangeKind.CHANGED, ChangeClass.MAJOR, reason=each.reason)


def _order_change(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Change]:
    """Yield a change if only the order of the tasks differs: they do the same work."""
    before = [task.get("id", "") for task in old.get("tasks", [])]
    after = [task.get("id", "") for task in new.get("tasks", [])]
    if before != after and sorted(before) == sorted(after):
        yield Change("tasks", ChangeKind.CHANGED, ChangeClass.PATCH, _told(before), _told(after))


def _told(value: Json) -> Any:
    if value is MISSING or len(json.dumps(value, ensure_ascii=False).encode()) > MAX_CHANGE_VALUE_BYTES:
        return MISSING
    return value


def _shown(path: Path) -> str:
    """Return a path such as `tasks[charge].input.amount`."""
    if path[0] == "tasks" and len(path) > 1:
        return ".".join((f"tasks[{path[1]}]", *path[2:]))
    return ".".join(path)
