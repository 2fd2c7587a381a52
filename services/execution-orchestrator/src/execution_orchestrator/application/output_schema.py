"""The output of a task against the schema that its definition gives it.

A success with an output that breaks it is taken as if the worker had reported the failure: the rules know
nothing of schemas.
"""

from dataclasses import replace

from google.protobuf.struct_pb2 import Struct

from execution_orchestrator.application.json_schema import Schema
from execution_orchestrator.domain.commands import Command, Failed, ReportTask, Succeeded
from execution_orchestrator.domain.failure import OUTPUT_SCHEMA_VIOLATION, Failure
from execution_orchestrator.domain.payloads import CheckedPayload
from execution_orchestrator.domain.plan import Plan


class OutputSchema:
    """The compiled schema of one task. Raises ValueError for one that is none."""

    def __init__(self, task_id: str, schema: Struct) -> None:
        self._task_id = task_id
        self._schema = Schema(schema)

    def __call__(self, output: CheckedPayload) -> Failure | None:
        """Return why the output breaks the schema; None if it fits, or if it cannot be kept for another
        reason: the rules of the domain refuse it then.
        """
        if output.problem is not None:
            return None
        violations = self._schema.violations(output.value, "output")
        if not violations:
            return None
        told = [f"{path}: {problem} (rule `{rule}`)" for path, problem, rule in violations]
        message = (
            f"the output of task `{self._task_id}` breaks its output_schema: {told[0]}; "
            "correct the handler, or publish a version with another schema"
        )
        return Failure(OUTPUT_SCHEMA_VIOLATION, message, "\n".join(told[1:]), non_retryable=True)


def as_reported(command: Command, plan: Plan) -> Command:
    """The command, or for a success that breaks the task's schema the report of that failure."""
    if not isinstance(command, ReportTask) or not isinstance(command.outcome, Succeeded):
        return command
    task = plan.tasks.get(command.key.task_id)
    if task is None or task.output_schema is None:
        return command
    failure = task.output_schema(command.outcome.checked)
    return command if failure is None else replace(command, outcome=Failed(failure))
