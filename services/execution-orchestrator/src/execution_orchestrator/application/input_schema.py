"""The input of a start against the schema of its version. References elsewhere are never followed."""

import json
from collections import OrderedDict
from typing import Any, NoReturn

import jsonschema_rs
from google.protobuf.json_format import MessageToDict
from workflow.catalog.v1.definition_pb2 import WorkflowDefinition

from execution_orchestrator.application.ports_catalog import ResolvedVersion, VersionQuery

MAX_VALIDATORS = 1_000
MAX_VIOLATIONS = 20


class InputSchemaError(Exception):
    """The input breaks the schema: each violation is a path (`input.order.total`) and a sentence."""

    def __init__(self, workflow_id: str, version: int, violations: list[tuple[str, str]]) -> None:
        path, problem = violations[0]
        super().__init__(
            f"the input breaks the schema of `{workflow_id}` version {version}: {path}: {problem}; correct it"
        )
        self.workflow_id = workflow_id
        self.version = version
        self.violations = violations


class InputSchemas:
    """Compiled schemas, one for each version, bounded."""

    def __init__(self) -> None:
        self._validators: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def __call__(self, found: ResolvedVersion, query: VersionQuery, input_: str) -> None:
        """Raises InputSchemaError."""
        validator = self._validator(found, query)
        if validator is None:
            return
        value = json.loads(input_)
        if validator.is_valid(value):
            return
        errors = [
            error for error, _ in zip(validator.iter_errors(value), range(MAX_VIOLATIONS), strict=False)
        ]
        violations = [(_path(error.instance_path), str(error.message)) for error in errors]
        raise InputSchemaError(query.workflow_id, found.version, violations)

    def _validator(self, found: ResolvedVersion, query: VersionQuery) -> Any:
        key = (query.namespace, query.workflow_id, found.version)
        if key in self._validators:
            self._validators.move_to_end(key)
            return self._validators[key]
        validator = self._validators[key] = _compile(found.definition)
        if len(self._validators) > MAX_VALIDATORS:
            self._validators.popitem(last=False)
        return validator


def _compile(definition: bytes) -> Any:
    message = WorkflowDefinition.FromString(definition)
    if not message.HasField("input_schema"):
        return None
    schema = _whole_numbers(MessageToDict(message.input_schema))
    return jsonschema_rs.Draft202012Validator(
        schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
    )


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}, and schemas of other places are not read")


def _whole_numbers(value: Any) -> Any:
    """Numbers of a Struct are doubles, and `maxLength` wants whole ones."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {key: _whole_numbers(each) for key, each in value.items()}
    return value


def _path(steps: list[str | int]) -> str:
    return "input" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
