"""Compiles a published definition, as the catalog sends it, into a plan."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from workflow_contract.messages import span_of
from workflow_contract.names import DEFAULT_QUEUE
from workflow_expressions import ExpressionError, Scope, Template, compile_condition, compile_template
from workflow_schemas.process import SchemaProcess
from workflowsystem.catalog.v1.definition_pb2 import RetryPolicy as RetryPolicyMessage
from workflowsystem.catalog.v1.definition_pb2 import (
    TaskDefaults,
    TaskDefinition,
    TaskTimeouts,
    WorkflowDefinition,
)

from execution_orchestrator.adapters.plan_schemas import InputSchema, OutputSchema, json_of
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.limits import (
    DEFAULT_EXECUTION_TIMEOUT,
    DEFAULT_QUEUE_TIMEOUT,
    DEFAULT_RETRY_ATTEMPTS,
    DEFAULT_START_TO_CLOSE,
)
from execution_orchestrator.domain.plan import FanOut, InputCheck, Plan, TaskPlan
from execution_orchestrator.domain.retry_policy import RetryPolicy

ANYTHING = Scope(tasks=None)
IN_FAN_OUT = Scope(tasks=None, in_fan_out=True)
WHOLE_INPUT = "${input}"
WHOLE_ITEM = "${item}"


class PlanCompiler:
    """Compiles definitions. A definition that sets no queue timeout or no number of retries gets these ones.

    `inputs` and `outputs` are the child processes for large checks against the schemas. They are two
    processes, so that starts never delay results.
    """

    def __init__(
        self,
        queue_timeout: timedelta = DEFAULT_QUEUE_TIMEOUT,
        retry_attempts: int = DEFAULT_RETRY_ATTEMPTS,
        *,
        inputs: SchemaProcess | None = None,
        outputs: SchemaProcess | None = None,
    ) -> None:
        self._queue_timeout = queue_timeout
        self._retry_attempts = retry_attempts
        self._inputs = inputs or SchemaProcess()
        self._outputs = outputs or SchemaProcess()

    def __call__(self, definition: bytes) -> Plan:
        """Return the plan of a serialized WorkflowDefinition. Raise InvalidDefinitionError."""
        message = WorkflowDefinition.FromString(definition)
        try:
            tasks = [self._task(task, message.defaults) for task in message.tasks]
            output = (
                compile_template(json_of(message.output), scope=ANYTHING)
                if message.HasField("output")
                else None
            )
        except ExpressionError as error:
            raise InvalidDefinitionError(str(error)) from error
        timeout = span_of(message.execution_timeout) if message.HasField("execution_timeout") else None
        return Plan(
            tasks,
            output=output,
            execution_timeout=timeout or DEFAULT_EXECUTION_TIMEOUT,
            labels=dict(message.labels),
            input_schema=self._input_schema(message),
        )

    def _task(self, task: TaskDefinition, defaults: TaskDefaults) -> TaskPlan:
        timeouts = _merged(task.timeouts, defaults.timeouts)
        policy = task.retry_policy if task.HasField("retry_policy") else defaults.retry_policy
        heartbeat = timeouts.heartbeat if timeouts.HasField("heartbeat") else None
        return TaskPlan(
            id=task.id,
            type=task.type,
            needs=tuple(task.needs),
            when=compile_condition(task.when, scope=ANYTHING) if task.when else None,
            input=_input(task),
            queue=task.queue or defaults.queue or DEFAULT_QUEUE,
            retry_policy=self._retry_policy(policy),
            schedule_to_start=_or(timeouts, "schedule_to_start", self._queue_timeout),
            start_to_close=_or(timeouts, "start_to_close", DEFAULT_START_TO_CLOSE),
            heartbeat_timeout=span_of(heartbeat) if heartbeat is not None else None,
            fan_out=_fan_out(task),
            output_schema=self._output_schema(task),
        )

    def _input_schema(self, definition: WorkflowDefinition) -> InputCheck | None:
        """Return the check of inputs. If the schema is bad, only the check raises InvalidDefinitionError.

        So a bad schema refuses starts, but stops no execution in flight: it needs the plan, but not this.
        """
        if not definition.HasField("input_schema"):
            return None
        try:
            return InputSchema(definition.input_schema, self._inputs)
        except ValueError as error:
            return partial(_refuse, f"the input_schema: {error}")

    def _output_schema(self, task: TaskDefinition) -> OutputSchema | None:
        if not task.HasField("output_schema"):
            return None
        try:
            return OutputSchema(task.id, task.output_schema, self._outputs)
        except ValueError as error:
            raise InvalidDefinitionError(f"the output_schema of task `{task.id}`: {error}") from error

    def _retry_policy(self, policy: RetryPolicyMessage) -> RetryPolicy:
        usual = RetryPolicy(maximum_attempts=1 + self._retry_attempts)
        given = {
            name: getattr(policy, name)
            for name in ("backoff_coefficient", "maximum_attempts", "jitter", "maximum_lost_attempts")
            if policy.HasField(name)
        }
        return RetryPolicy(
            initial_interval=_or(policy, "initial_interval", usual.initial_interval),
            maximum_interval=_or(policy, "maximum_interval", usual.maximum_interval),
            backoff_coefficient=given.get("backoff_coefficient", usual.backoff_coefficient),
            maximum_attempts=given.get("maximum_attempts", usual.maximum_attempts),
            jitter=given.get("jitter", usual.jitter),
            maximum_lost_attempts=given.get("maximum_lost_attempts", usual.maximum_lost_attempts),
            non_retryable_error_types=frozenset(policy.non_retryable_error_types),
        )


def task_types_of(definition: bytes) -> frozenset[str]:
    """Return the task types of a serialized WorkflowDefinition, without compiling it."""
    return frozenset(task.type for task in WorkflowDefinition.FromString(definition).tasks)


def _refuse(problem: str, text: str) -> Sequence[tuple[str, str]]:
    raise InvalidDefinitionError(problem)


def _input(task: TaskDefinition) -> Template | None:
    """Return the template of the task's input.

    Return None if the task gets the execution's input unchanged: then nobody has to evaluate a template.
    """
    fans_out = task.HasField("for_each")
    if not task.HasField("input"):
        return compile_template(WHOLE_ITEM if fans_out else {}, scope=IN_FAN_OUT if fans_out else ANYTHING)
    value = json_of(task.input)
    if value == WHOLE_INPUT:
        return None
    return compile_template(value, scope=IN_FAN_OUT if fans_out else ANYTHING)


def _fan_out(task: TaskDefinition) -> FanOut | None:
    if not task.HasField("for_each"):
        return None
    items = compile_template(json_of(task.for_each.items), scope=ANYTHING)
    return FanOut(items, task.for_each.max_parallel)


def _merged(own: TaskTimeouts, defaults: TaskTimeouts) -> TaskTimeouts:
    """Return the defaults with each timeout replaced that the task sets.

    Protobuf's MergeFrom would combine the seconds of one Duration with the nanoseconds of the other.
    """
    merged = TaskTimeouts()
    merged.CopyFrom(defaults)
    for field, duration in own.ListFields():
        getattr(merged, field.name).CopyFrom(duration)
    return merged


def _or(message: Any, name: str, default: timedelta) -> timedelta:
    return span_of(getattr(message, name)) if message.HasField(name) else default
