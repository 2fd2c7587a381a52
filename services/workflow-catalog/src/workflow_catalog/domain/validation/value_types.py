"""Derive the types of the values that expressions read, from the schemas and from task to task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from workflow_expressions import (
    ANY,
    EXECUTION_FIELDS,
    EnumType,
    Kind,
    ListType,
    MaybeNull,
    Member,
    ObjectType,
    Presence,
    ValueType,
    of_kind,
)

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.validation.schema_types import schema_type

_STRING, _INT = of_kind(Kind.STRING), of_kind(Kind.INT)
_NUMBERS: Final = ("version", "run_number")
_EXECUTION: Final = ObjectType(
    {name: _INT if name in _NUMBERS else _STRING for name in EXECUTION_FIELDS}, "execution"
)

_GIVE_THEIR_INPUT: Final = frozenset({"noop", "sleep"})
_HTTP_RESPONSE: Final = ObjectType(
    {"status": _INT, "headers": of_kind(Kind.MAP), "body": ANY}, "http.request"
)

_SUCCEEDED, _SKIPPED = frozenset({"SUCCEEDED"}), frozenset({"SKIPPED"})
_NEVER_SEEN: Final = frozenset({"FAILED", "CANCELLED"})
"""Statuses that no expression can see: a task that fails or is cancelled ends its execution."""


class ValueTypes:
    """The types in one definition. Add the outputs task by task, upstream tasks first."""

    def __init__(self, input_schema: Json | None) -> None:
        self._input = (
            of_kind(Kind.MAP)
            if input_schema is None
            else schema_type(input_schema, input_schema, "input_schema")
        )
        self._tasks: dict[str, ValueType] = {}

    def roots(self, item: ValueType = ANY) -> ObjectType:
        """Return the types of the names that expressions begin with. `item` is the type of an item."""
        return ObjectType(
            {
                "input": self._input,
                "execution": _EXECUTION,
                "tasks": _Tasks(self._tasks),
                "item": item,
                "index": _INT,
            }
        )

    def add(self, task: Mapping[str, Json], input_type: ValueType) -> None:
        """Add the types of a task's output and status. `input_type` is the type of its input."""
        task_id = task.get("id", "")
        output = _output(task, input_type)
        values = _SUCCEEDED
        if "for_each" in task:
            output = ListType(output)
        if "when" in task:
            values = _SUCCEEDED | _SKIPPED
        if "when" in task and "for_each" not in task:  # the output of a skipped fan-out is the empty list
            told_by = ("tasks", task_id, "status")
            output = MaybeNull(output, f"`{task_id}` is skipped if its `when` is false", told_by)
        status = EnumType(values, _NEVER_SEEN | _SKIPPED)
        self._tasks[task_id] = ObjectType({"output": output, "status": status})


class _Tasks(ObjectType):
    """The tasks, all of which count as present: another check finds names of unknown tasks."""

    def member(self, name: str) -> Member:
        """Return the type of a task. The presence is always ALWAYS."""
        return Member(self.members.get(name, ANY), Presence.ALWAYS)


def _output(task: Mapping[str, Json], input_type: ValueType) -> ValueType:
    if "output_schema" in task:
        schema = task["output_schema"]
        return schema_type(schema, schema, f"output_schema of {task.get('id', '')}")
    if task.get("type") in _GIVE_THEIR_INPUT:
        return input_type
    return _HTTP_RESPONSE if task.get("type") == "http.request" else ANY
