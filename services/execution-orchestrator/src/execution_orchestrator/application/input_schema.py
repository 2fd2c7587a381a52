"""The input of a start against the schema of its version. References elsewhere are never followed."""

import json
from collections import OrderedDict

from workflow.catalog.v1.definition_pb2 import WorkflowDefinition

from execution_orchestrator.application.json_schema import Schema
from execution_orchestrator.application.ports_catalog import ResolvedVersion, VersionQuery

MAX_VALIDATORS = 1_000


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
        self._schemas: OrderedDict[tuple[str, str, int], Schema | None] = OrderedDict()

    def __call__(self, found: ResolvedVersion, query: VersionQuery, input_: str) -> None:
        """Raises InputSchemaError."""
        schema = self._schema(found, query)
        if schema is None:
            return
        violations = schema.violations(json.loads(input_), "input")
        if violations:
            told = [(path, problem) for path, problem, _ in violations]
            raise InputSchemaError(query.workflow_id, found.version, told)

    def _schema(self, found: ResolvedVersion, query: VersionQuery) -> Schema | None:
        key = (query.namespace, query.workflow_id, found.version)
        if key in self._schemas:
            self._schemas.move_to_end(key)
            return self._schemas[key]
        schema = self._schemas[key] = _compile(found.definition)
        if len(self._schemas) > MAX_VALIDATORS:
            self._schemas.popitem(last=False)
        return schema


def _compile(definition: bytes) -> Schema | None:
    message = WorkflowDefinition.FromString(definition)
    return Schema(message.input_schema) if message.HasField("input_schema") else None
