"""The output of a task against the schema that its definition gives it.

A success with an output that breaks it is taken as if the worker had reported the failure: the rules know
nothing of schemas.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from google.protobuf.struct_pb2 import Struct
from service_kit.errors import OVERLOADED, resource_exhausted
from workflow_schemas import Violation
from workflow_schemas.process import CheckUnavailableError, SchemaProcess

from execution_orchestrator.application.engine.json_schema import Schema
from execution_orchestrator.domain.commands import Command, Failed, ReportTask, Succeeded
from execution_orchestrator.domain.errors import HeavyEvaluationError
from execution_orchestrator.domain.failure import OUTPUT_SCHEMA_VIOLATION, Failure
from execution_orchestrator.domain.payloads import CheckedPayload, size_bytes
from execution_orchestrator.domain.plan import Plan

OUTPUT_SCHEMA = "output_schema"
"""The field that evaluations of an output schema are kept under; see HeavyEvaluationError."""


class OutputSchema:
    """The compiled schema of one task. Raises ValueError for one that is none."""

    def __init__(self, task_id: str, schema: Struct, process: SchemaProcess) -> None:
        self._task_id = task_id
        self._schema = Schema(schema, process)

    def __call__(self, output: CheckedPayload, evaluated: Mapping[tuple[str, str], Any]) -> Failure | None:
        """Return why the output breaks the schema; None if it fits, or if it cannot be kept for another
        reason: the rules of the domain refuse it then.

        Raise HeavyEvaluationError if the check takes too long for the event loop, unless `evaluated` has what
        it found.
        """
        if output.problem is not None:
            return None
        key = (self._task_id, OUTPUT_SCHEMA)
        if key in evaluated:
            failure: Failure | None = evaluated[key]
            return failure
        violations = self._schema.check(output.value, size_bytes(output.text), "output")
        if violations is None:
            raise HeavyEvaluationError(key, partial(self._check_elsewhere, output.text))
        return self._failure(violations)

    def _check_elsewhere(self, text: str) -> Failure | None:
        try:
            return self._failure(self._schema.check_elsewhere(text, "output"))
        except CheckUnavailableError as error:
            raise resource_exhausted(OVERLOADED, f"{error}: report the result again") from error

    def _failure(self, violations: list[Violation]) -> Failure | None:
        if not violations:
            return None
        told = [f"{path}: {problem} (rule `{rule}`)" for path, problem, rule in violations]
        message = (
            f"the output of task `{self._task_id}` breaks its output_schema: {told[0]}; "
            "correct the handler, or publish a version with another schema"
        )
        return Failure(OUTPUT_SCHEMA_VIOLATION, message, "\n".join(told[1:]), non_retryable=True)


def as_reported(command: Command, plan: Plan, evaluated: Mapping[tuple[str, str], Any]) -> Command:
    """Return the command, or for a success that breaks the task's schema the report of that failure.

    `evaluated` holds what HeavyEvaluationError asked for in an earlier try. Raise HeavyEvaluationError.
    """
    if not isinstance(command, ReportTask) or not isinstance(command.outcome, Succeeded):
        return command
    task = plan.tasks.get(command.key.task_id)
    if task is None or task.output_schema is None:
        return command
    failure = task.output_schema(command.outcome.checked, evaluated)
    return command if failure is None else replace(command, outcome=Failed(failure))
