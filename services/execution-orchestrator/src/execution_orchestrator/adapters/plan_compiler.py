"""A published definition, as it came from the catalog, into a plan."""

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
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

from execution_orchestrator.application.engine.json_schema import whole_numbers
from execution_orchestrator.application.engine.output_schema import OutputSchema
from execution_orchestrator.domain.errors import InvalidDefinitionError
from execution_orchestrator.domain.limits import (
    DEFAULT_EXECUTION_TIMEOUT,
    DEFAULT_QUEUE_TIMEOUT,
    DEFAULT_RETRY_ATTEMPTS,
    DEFAULT_START_TO_CLOSE,
)
from execution_orchestrator.domain.plan import FanOut, Plan, TaskPlan
from execution_orchestrator.domain.retry_policy import RetryPolicy

ANYTHING = Scope(tasks=None)
IN_FAN_OUT = Scope(tasks=None, in_fan_out=True)
WHOLE_INPUT = "${input}"
WHOLE_ITEM = "${item}"


class PlanCompiler:
    """Compiles definitions; QUEUE_TIMEOUT and RETRY_ATTEMPTS hold where a definition says nothing else."""

    def __init__(
        self,
        queue_timeout: timedelta = DEFAULT_QUEUE_TIMEOUT,
        retry_attempts: int = DEFAULT_RETRY_ATTEMPTS,
        process: SchemaProcess | None = None,
    ) -> None:
        self._process = process or SchemaProcess()
        self._queue_timeout = queue_timeout
        self._retry_attempts = retry_attempts

    def __call__(self, definition: bytes) -> Plan:
        """The plan of a serialized WorkflowDefinition. Raises InvalidDefinitionError."""
        message = WorkflowDefinition.FromString(definition)
        try:
            tasks = [self._task(task, message.defaults) for task in message.tasks]
            output = (
                compile_template(_value(message.output), scope=ANYTHING)
                if message.HasField("output")
                else None
            )
        except ExpressionError as error:
            raise InvalidDefinitionError(str(error)) from error
        timeout = _span(message.execution_timeout) if message.HasField("execution_timeout") else None
        return Plan(
            tasks,
            output=output,
            execution_timeout=timeout or DEFAULT_EXECUTION_TIMEOUT,
            labels=dict(message.labels),
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
            heartbeat_timeout=_span(heartbeat) if heartbeat is not None else None,
            fan_out=_fan_out(task),
            output_schema=self._output_schema(task),
        )

    def _output_schema(self, task: TaskDefinition) -> OutputSchema | None:
        if not task.HasField("output_schema"):
            return None
        try:
            return OutputSchema(task.id, task.output_schema, self._process)
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


def _input(task: TaskDefinition) -> Template | None:
    """The input's template; None is the execution's input passed through unread, the cheapest there is."""
    fans_out = task.HasField("for_each")
    if not task.HasField("input"):
        return compile_template(WHOLE_ITEM if fans_out else {}, scope=IN_FAN_OUT if fans_out else ANYTHING)
    value = _value(task.input)
    if value == WHOLE_INPUT:
        return None
    return compile_template(value, scope=IN_FAN_OUT if fans_out else ANYTHING)


def _fan_out(task: TaskDefinition) -> FanOut | None:
    if not task.HasField("for_each"):
        return None
    items = compile_template(_value(task.for_each.items), scope=ANYTHING)
    return FanOut(items, task.for_each.max_parallel)


def _merged(own: TaskTimeouts, defaults: TaskTimeouts) -> TaskTimeouts:
    """Each timeout that the task sets replaces the default: MergeFrom would add seconds to nanoseconds."""
    merged = TaskTimeouts()
    merged.CopyFrom(defaults)
    for field, duration in own.ListFields():
        getattr(merged, field.name).CopyFrom(duration)
    return merged


def _or(message: Any, name: str, default: timedelta) -> timedelta:
    return _span(getattr(message, name)) if message.HasField(name) else default


def _span(duration: Duration) -> timedelta:
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1000)


def _value(value: Any) -> Any:
    return whole_numbers(MessageToDict(value))
