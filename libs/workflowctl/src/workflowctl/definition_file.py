"""Read a workflow's file: the fields of WorkflowDefinition, and `workflow_id` beside them.

    workflow_id: orders
    description: Charges and ships.
    tasks:
      - id: charge
        type: orders.charge
        timeouts: {start_to_close: 1m30s}

This module finds everything that the contract does not allow, by line and column. The catalog finds the rest.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from workflow_sdk.payloads import PayloadError, check
from workflowsystem.catalog.v1.definition_pb2 import DESCRIPTOR, WorkflowDefinition

from workflowctl import durations
from workflowctl.errors import CommandError, Problem
from workflowctl.files import STDIN, read_bytes
from workflowctl.source import Source, kind_of, read

ID_KEY = "workflow_id"
SUFFIXES = (".yaml", ".yml", ".json")
_FREE_FORM = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})
_DURATION = "google.protobuf.Duration"
_WORKFLOW = DESCRIPTOR.message_types_by_name["WorkflowDefinition"]


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """A workflow's file, as far as the contract allows its content."""

    workflow_id: str
    definition: Any
    """The WorkflowDefinition, without the values that `problems` names."""
    source: Source
    problems: tuple[Problem, ...] = ()
    """Everything in the file that the contract does not allow."""

    def locate(self, problems: Sequence[Problem]) -> list[Problem]:
        """Return the problems that the service found, with their places in the file, in the file's order."""
        located = []
        for problem in problems:
            path = problem.place.removeprefix("definition.").removeprefix("definition")
            text = f"{path}: {problem.text}" if path else problem.text
            place = self.source.place(path)
            moved = dataclasses.replace(problem, place=place, text=text, path=path)
            located.append((self.source.position(path), moved))
        return [problem for _, problem in sorted(located, key=lambda pair: pair[0])]


def is_file(target: str) -> bool:
    """Return whether the user named a file rather than a workflow's id."""
    return target == STDIN or target.endswith(SUFFIXES) or "/" in target


def load(target: str, workflow_id: str = "") -> DefinitionFile:
    """Read a file, or standard input for `-`. `workflow_id` replaces the one in the file.

    Raise CommandError if the file cannot be read or is not a workflow. One error names everything that the
    contract does not allow.
    """
    file = inspect(target, workflow_id)
    if file.problems:
        many = f"{len(file.problems)} problems" if len(file.problems) > 1 else "a problem"
        raise CommandError(f"{file.source.name} has {many}", problems=file.problems)
    return file


def inspect(target: str, workflow_id: str = "") -> DefinitionFile:
    """Read a file as `load` does, but collect everything that the contract does not allow in `problems`.

    Raise CommandError if the file cannot be read, is not an object, or does not name its workflow.
    """
    source = read("standard input" if target == STDIN else target, read_bytes(target))
    value = source.value
    if not isinstance(value, Mapping):
        raise CommandError(
            f"{source.name} is not a workflow: its top level is {kind_of(value)}",
            next_step="write the definition's fields there, such as `workflow_id`, `description` and `tasks`",
        )
    fields = dict(value)
    named = fields.pop(ID_KEY, None) or fields.pop("workflowId", None)
    chosen = workflow_id or named
    if not chosen or not isinstance(chosen, str):
        raise CommandError(
            f"{source.name} does not say which workflow it is",
            next_step="add `workflow_id: <its-id>` at the top level, or give --id",
        )
    problems: list[Problem] = []
    fitted = _fit_message(fields, _WORKFLOW, "", source, problems)
    try:
        definition = json_format.ParseDict(fitted, WorkflowDefinition())
    except json_format.ParseError as error:
        raise CommandError(f"{source.name} cannot be read: {error}", problems=problems) from None
    return DefinitionFile(chosen, definition, source, tuple(problems))


def _fit_message(
    value: Mapping[str, Any], descriptor: Descriptor, path: str, source: Source, problems: list[Problem]
) -> dict[str, Any]:
    """Return the object with durations in the contract's form.

    Add fields that its type does not have to `problems`.
    """
    known = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    fitted = {}
    for key, member in value.items():
        place = f"{path}.{key}" if path else key
        if key in known:
            fitted[key] = _fit_field(member, known[key], place, source, problems)
        else:
            problems.append(_unknown(source, place, key, descriptor))
    return fitted


def _problem(source: Source, path: str, text: str) -> Problem:
    return Problem(source.place(path), f"{path}: {text}", path)


def _unknown(source: Source, path: str, key: str, descriptor: Descriptor) -> Problem:
    names = [field.name for field in descriptor.fields]
    close = _meant_by_others(key, names) or difflib.get_close_matches(key[:100], names, n=1, cutoff=0.5)
    hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(names)}"
    text = f"there is no such field; {hint}"
    return dataclasses.replace(_problem(source, path, text), suggestion="".join(close))


def _meant_by_others(key: str, names: list[str]) -> list[str]:
    """Return the field that means the same as a word of other engines, such as `retries`."""
    return [name for name in [_OTHER_WORDS.get(key.lower().replace("_", ""), "")] if name in names]


def _fit_field(value: Any, field: FieldDescriptor, path: str, source: Source, problems: list[Problem]) -> Any:
    if value is None:
        return None
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _fit_texts(
            _expect(value, Mapping, "an object", path, source, problems), path, source, problems
        )
    if field.is_repeated:
        items = _expect(value, list, "a list", path, source, problems) or []
        return [_fit_one(item, field, f"{path}[{n}]", source, problems) for n, item in enumerate(items)]
    return _fit_one(value, field, path, source, problems)


def _fit_texts(value: Any, path: str, source: Source, problems: list[Problem]) -> dict[str, str]:
    """Return an object whose values are all text, such as labels."""
    fitted = {}
    for key, text in (value or {}).items():
        if isinstance(text, str):
            fitted[key] = text
        else:
            place = f"{path}.{key}"
            problems.append(_problem(source, place, f"{kind_of(text)} where text belongs: put it in quotes"))
    return fitted


def _fit_one(value: Any, field: FieldDescriptor, path: str, source: Source, problems: list[Problem]) -> Any:
    kind = field.message_type
    if kind is None:
        return _fit_scalar(value, field, path, source, problems)
    if kind.full_name == _DURATION:
        return _fit_duration(value, path, source, problems)
    if kind.full_name in _FREE_FORM:
        return _fit_payload(value, path, source, problems)
    members = _expect(value, Mapping, "an object", path, source, problems)
    return _fit_message(members or {}, kind, path, source, problems)


def _fit_scalar(
    value: Any, field: FieldDescriptor, path: str, source: Source, problems: list[Problem]
) -> Any:
    try:
        assert field.containing_type is not None
        holder = GetMessageClass(field.containing_type)()
        single = [value] if field.is_repeated else value
        json_format.ParseDict({field.name: single}, holder)
    except (json_format.ParseError, TypeError, ValueError):
        expected = _SCALARS.get(field.cpp_type, "another type")
        problems.append(_problem(source, path, f"{kind_of(value)} where {expected} belongs"))
        return "" if field.is_repeated else None  # the items after it keep their index
    return value


def _fit_duration(value: Any, path: str, source: Source, problems: list[Problem]) -> Any:
    try:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} has no unit: write a number and a unit, {durations.EXAMPLES}")
        return durations.to_json(value)
    except ValueError as error:
        problems.append(_problem(source, path, str(error)))
        return None


def _fit_payload(value: Any, path: str, source: Source, problems: list[Problem]) -> Any:
    try:
        check(value, path)
    except PayloadError as error:
        problems.append(Problem(source.place(path), str(error), path))
        return None
    return value


def _expect(value: Any, wanted: type, name: str, path: str, source: Source, problems: list[Problem]) -> Any:
    if isinstance(value, wanted):
        return value
    problems.append(_problem(source, path, f"{kind_of(value)} where {name} belongs"))
    return None


_OTHER_WORDS = {
    "retries": "retry_policy",
    "retry": "retry_policy",
    "maxretries": "maximum_attempts",
    "maxattempts": "maximum_attempts",
    "dependson": "needs",
    "dependencies": "needs",
    "after": "needs",
    "if": "when",
    "condition": "when",
    "foreach": "for_each",
    "loop": "for_each",
    "timeout": "timeouts",
    "name": "id",
    "handler": "type",
    "inputs": "input",
    "outputs": "output",
    "steps": "tasks",
    "jobs": "tasks",
    "maxparallel": "max_parallel",
    "concurrency": "max_parallel",
}
"""Words that other engines use, in lower case and without underscores."""

_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
}
