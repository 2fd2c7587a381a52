"""The JSON Schemas of a definition as checks of a plan.

The orchestrator makes small checks at once. A large check raises HeavyEvaluationError: a thread sends it to a
child process, which the kernel ends if it takes too long (ADR 25).
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from service_kit.errors import OVERLOADED, resource_exhausted
from workflow_contract.payloads import with_integers
from workflow_schemas import CompiledSchema, Violation
from workflow_schemas.limits import MAX_INLINE_SCHEMA_BYTES
from workflow_schemas.process import CheckUnavailableError, SchemaProcess

from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.failure import OUTPUT_SCHEMA_VIOLATION, Failure
from execution_orchestrator.domain.payloads import CheckedPayload, size_bytes

INPUT_SCHEMA_KEY = ("", "input_schema")
OUTPUT_SCHEMA = "output_schema"
"""The fields of the definition, as keys of heavy evaluations name them."""


class InputSchema:
    """The check of a start's input: an InputCheck. The constructor raises ValueError for a bad schema."""

    def __init__(self, schema: Struct, process: SchemaProcess) -> None:
        self._schema = _Schema(schema, process, "input", "repeat the start in a few seconds")

    def __call__(self, text: str) -> list[tuple[str, str]]:
        """Return every violation of the input. Raise HeavyEvaluationError."""
        violations = self._schema.check(json.loads(text), size_bytes(text))
        if violations is None:
            raise HeavyEvaluationError(INPUT_SCHEMA_KEY, partial(self._check_in_process, text))
        return _without_rules(violations)

    def _check_in_process(self, text: str) -> list[tuple[str, str]]:
        return _without_rules(self._schema.check_in_process(text))


class OutputSchema:
    """The check of a task's output: an OutputCheck. The constructor raises ValueError for a bad schema."""

    def __init__(self, task_id: str, schema: Struct, process: SchemaProcess) -> None:
        self._task_id = task_id
        self._key = (task_id, OUTPUT_SCHEMA)
        self._schema = _Schema(schema, process, "output", "report the result again")

    def __call__(self, output: CheckedPayload, evaluated: Mapping[tuple[str, str], Any]) -> Failure | None:
        """Return why the output breaks the schema; None if it fits. Raise HeavyEvaluationError."""
        if self._key in evaluated:
            failure: Failure | None = evaluated[self._key]
            return failure
        violations = self._schema.check(output.value, size_bytes(output.text))
        if violations is None:
            raise HeavyEvaluationError(self._key, partial(self._check_in_process, output.text))
        return self._failure(violations)

    def _check_in_process(self, text: str) -> Failure | None:
        return self._failure(self._schema.check_in_process(text))

    def _failure(self, violations: list[Violation]) -> Failure | None:
        if not violations:
            return None
        first, *others = [f"{path}: {problem} (rule `{rule}`)" for path, problem, rule in violations]
        message = (
            f"the output of task `{self._task_id}` breaks its output_schema: {first}; "
            "correct the handler, or publish a version with another schema"
        )
        return Failure(OUTPUT_SCHEMA_VIOLATION, message, "\n".join(others), non_retryable=True)


class _Schema:
    """A schema and the process for its large checks. The constructor raises ValueError for a bad schema.

    A large schema is not compiled here. The child process compiles it, and says if it is bad.
    """

    def __init__(self, schema: Struct, process: SchemaProcess, root: str, advice: str) -> None:
        value = json_of(schema)
        self._text = json.dumps(value)
        is_small = len(self._text) <= MAX_INLINE_SCHEMA_BYTES
        self._compiled = CompiledSchema(value) if is_small else None
        self._process = process
        self._root = root  # the name of the value in paths
        self._advice = advice  # the next step if the process cannot check now

    def check(self, value: Any, size_bytes: int) -> list[Violation] | None:
        """Return the violations of a value, or None if that may take over about 30 ms."""
        if self._compiled is None or not self._compiled.is_quick(size_bytes):
            return None
        if self._compiled.fits(value):
            return []
        if not self._compiled.describes_quickly(size_bytes):
            return None
        return self._compiled.violations(value, size_bytes, self._root)

    def check_in_process(self, text: str) -> list[Violation]:
        """Return the violations of a value (JSON). Block the thread until the child process has answered.

        Raise ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if the process cannot check now, and ValueError if
        the schema is bad.
        """
        try:
            return self._process.check(self._text, text, self._root)
        except CheckUnavailableError as error:
            raise resource_exhausted(OVERLOADED, f"{error}: {self._advice}") from error


def json_of(message: Message) -> Any:
    """Return a Struct or Value as JSON has it: a double without a fraction is an integer."""
    return with_integers(MessageToDict(message))


def _without_rules(violations: list[Violation]) -> list[tuple[str, str]]:
    return [(path, problem) for path, problem, _ in violations]
