"""The input of a start against the schema of its version. References elsewhere are never followed."""

import json

from service_kit.bounded_cache import BoundedCache
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from execution_orchestrator.application.json_schema import Schema
from execution_orchestrator.application.ports_catalog import ResolvedVersion, VersionQuery

MAX_VALIDATORS = 1_000
MAX_VALIDATOR_BYTES = 64 * 1024 * 1024
BYTES_PER_BYTE = 20
"""What a compiled schema takes in memory for each byte of it in the definition."""


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


class NoSchema:
    """Of a version that takes any input."""


class InputSchemas:
    """Compiled schemas, one for each version, bounded."""

    def __init__(self) -> None:
        self._schemas: BoundedCache[tuple[str, str, int], Schema | NoSchema] = BoundedCache(
            max_entries=MAX_VALIDATORS, max_bytes=MAX_VALIDATOR_BYTES
        )

    def __call__(self, found: ResolvedVersion, query: VersionQuery, input_: str) -> None:
        """Raises InputSchemaError."""
        schema = self._schema(found, query)
        if isinstance(schema, NoSchema):
            return
        violations = schema.violations(json.loads(input_), "input")
        if violations:
            told = [(path, problem) for path, problem, _ in violations]
            raise InputSchemaError(query.workflow_id, found.version, told)

    def _schema(self, found: ResolvedVersion, query: VersionQuery) -> Schema | NoSchema:
        key = (query.namespace, query.workflow_id, found.version)
        schema = self._schemas.get(key)
        if schema is None:
            schema, size_bytes = _compile(found.definition)
            self._schemas.put(key, schema, BYTES_PER_BYTE * size_bytes)
        return schema


def _compile(definition: bytes) -> tuple[Schema | NoSchema, int]:
    """The schema, and what it takes in the definition."""
    message = WorkflowDefinition.FromString(definition)
    if not message.HasField("input_schema"):
        return NoSchema(), 0
    return Schema(message.input_schema), message.input_schema.ByteSize()
