"""The input of a start against the schema of its version. References elsewhere are never followed."""

import asyncio
import json

from service_kit.errors import OVERLOADED, resource_exhausted
from service_kit.tools.bounded_cache import BoundedCache
from workflow_schemas import Violation
from workflow_schemas.process import CheckUnavailableError, SchemaProcess
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from execution_orchestrator.application.engine.json_schema import Schema
from execution_orchestrator.application.ports.catalog import ResolvedVersion, VersionQuery
from execution_orchestrator.domain.payloads import size_bytes

MAX_VALIDATORS = 1_000
MAX_VALIDATOR_BYTES = 64 * 1024 * 1024
MAX_LARGE_CHECKS = 2_000
"""Large inputs that wait for the child process: two batches of starts. Most of them take a millisecond."""
MAX_WAIT_SECONDS = 10.0
"""For the child process. An input that takes long to check may hold up others for 5 s."""
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
    """Compiled schemas, one for each version, bounded. Large checks are made in a child process."""

    def __init__(self, process: SchemaProcess | None = None) -> None:
        self._process = process or SchemaProcess()
        self._room = asyncio.Semaphore(1)
        self._waiting = 0
        self._compiling: dict[tuple[str, str, int], asyncio.Task[Schema | NoSchema]] = {}
        self._schemas: BoundedCache[tuple[str, str, int], Schema | NoSchema] = BoundedCache(
            max_entries=MAX_VALIDATORS, max_bytes=MAX_VALIDATOR_BYTES
        )

    async def __call__(self, found: ResolvedVersion, query: VersionQuery, input_: str) -> None:
        """Raise InputSchemaError if the input breaks the schema, or takes too much time or memory to check.

        Raise ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if too many large inputs wait; it may be repeated.
        """
        schema = await self._schema(found, query)
        if isinstance(schema, NoSchema):
            return
        violations = schema.check(json.loads(input_), size_bytes(input_), "input")
        if violations is None:
            violations = await self._check_elsewhere(schema, input_)
        if violations:
            told = [(path, problem) for path, problem, _ in violations]
            raise InputSchemaError(query.workflow_id, found.version, told)

    def close(self) -> None:
        """End the child process."""
        self._process.close()

    async def _check_elsewhere(self, schema: Schema, input_: str) -> list[Violation]:
        if self._waiting >= MAX_LARGE_CHECKS:
            raise self._too_many()
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise self._too_many() from None
        finally:
            self._waiting -= 1
        try:
            return await asyncio.to_thread(schema.check_elsewhere, input_, "input")
        except CheckUnavailableError as error:
            raise resource_exhausted(OVERLOADED, f"{error}: repeat the start in a few seconds") from error
        finally:
            self._room.release()

    def _too_many(self) -> Exception:
        message = f"{self._waiting} large inputs wait to be checked: repeat the start in a few seconds"
        return resource_exhausted(OVERLOADED, message, limit=str(MAX_LARGE_CHECKS))

    async def _schema(self, found: ResolvedVersion, query: VersionQuery) -> Schema | NoSchema:
        key = (query.namespace, query.workflow_id, found.version)
        schema = self._schemas.get(key)
        if schema is not None:
            return schema
        task = self._compiling.get(key)
        if task is None:
            task = self._compiling[key] = asyncio.create_task(self._keep(key, found.definition))
        return await asyncio.shield(task)  # others wait for it too

    async def _keep(self, key: tuple[str, str, int], definition: bytes) -> Schema | NoSchema:
        """Compile in a thread: a large definition would hold up the event loop."""
        try:
            schema, schema_bytes = await asyncio.to_thread(_compile, definition, self._process)
            self._schemas.put(key, schema, BYTES_PER_BYTE * schema_bytes)
            return schema
        finally:
            del self._compiling[key]


def _compile(definition: bytes, process: SchemaProcess) -> tuple[Schema | NoSchema, int]:
    """The schema, and what it takes in the definition."""
    message = WorkflowDefinition.FromString(definition)
    if not message.HasField("input_schema"):
        return NoSchema(), 0
    return Schema(message.input_schema, process), message.input_schema.ByteSize()
