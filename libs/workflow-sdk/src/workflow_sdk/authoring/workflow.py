"""`Workflow`: the definition that a YAML file has, written in Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from workflow_contract.messages import as_json
from workflow_contract.payloads import with_integers
from workflowsystem.catalog.v1 import definition_pb2

from workflow_sdk.authoring import templates
from workflow_sdk.authoring.cel_text import used_tasks
from workflow_sdk.authoring.errors import (
    WorkflowDefinitionError,
    check_options,
    check_task_id,
    check_task_type,
    check_workflow_id,
    did_you_mean,
)
from workflow_sdk.authoring.expressions import Expression
from workflow_sdk.authoring.policies import Defaults, fill_field
from workflow_sdk.authoring.tasks import Task, TaskOptions
from workflow_sdk.task import TaskDefinitionError, definition_of

if TYPE_CHECKING:
    from workflow_sdk.client import Client
    from workflow_sdk.reports import ValidationReport
    from workflow_sdk.workflows import WorkflowInfo

CHILD_TYPE = "workflow"
"""The type of a task that runs another workflow."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Written:
    """A task as it was written. The tasks that it needs are known only when the workflow is complete."""

    message: definition_pb2.TaskDefinition
    uses: frozenset[str]


class Workflow:
    """A workflow, built task by task. A task that uses the output of another one runs after it.

        orders = Workflow("orders", owner="payments")
        check = orders.task("check", "stock.check", input={"sku": orders.input.sku})
        charge = orders.task("charge", "orders.charge", input=orders.input, when=check.output.ok)
        orders.output = {"receipt": charge.output.receipt}

    `input_schema` is a JSON Schema (2020-12) for the input of each execution. `execution_timeout` is 1 s to
    365 days; default 24 h. Every method raises WorkflowDefinitionError if the workflow can't be built as it
    is written. The catalog finds further problems when the workflow is validated or published.
    """

    __slots__ = ("_definition", "_output", "_owner", "_uses_of_output", "_written")

    def __init__(
        self,
        workflow_id: str,
        *,
        description: str = "",
        owner: str = "",
        labels: Mapping[str, str] | None = None,
        input_schema: Mapping[str, Any] | None = None,
        execution_timeout: timedelta | None = None,
        defaults: Defaults | None = None,
    ) -> None:
        self._owner = (next(_numbers), check_workflow_id(workflow_id))
        self._definition = definition_pb2.WorkflowDefinition()
        self._written: dict[str, _Written] = {}
        self._output: Any = None
        self._uses_of_output: frozenset[str] = frozenset()
        texts = {"description": description, "owner": owner, "labels": labels}
        for name, value in texts.items():
            fill_field(self._definition, repr(self), name, templates.plain(value, name))
        fill_field(self._definition, repr(self), "execution_timeout", execution_timeout)
        fill_field(self._definition, repr(self), "defaults", defaults)
        if input_schema is not None:
            self._definition.input_schema.CopyFrom(templates.schema(input_schema, "input_schema"))

    @property
    def workflow_id(self) -> str:
        """The workflow's id in the catalog."""
        return self._owner[1]

    @property
    def input(self) -> Expression:
        """The input of an execution: `orders.input.amount`."""
        return Expression("input", owners=[self._owner])

    @property
    def output(self) -> Any:
        """The output of an execution: JSON that may hold expressions. Unset: null."""
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        message = templates.template(value, "output")
        self._uses_of_output = frozenset(self._uses(value, "output"))
        self._definition.output.CopyFrom(message)
        self._output = value

    def task(self, id: str, type: str | Callable[..., Any], **options: Unpack[TaskOptions]) -> Task:
        """Add a task that a handler runs: a function with `@task`, or the name of a type.

        TaskOptions describes the `options`. An option that is left out has the workflow's default, or the
        engine's. Raises WorkflowDefinitionError.
        """
        task_type = type if isinstance(type, str) else _type_of(type, id)
        check_task_type(task_type, f"task {check_task_id(id)!r}")
        if task_type == CHILD_TYPE:
            raise WorkflowDefinitionError(f"task {id!r} runs another workflow: add it with .child()")
        return self._add(definition_pb2.TaskDefinition(id=id, type=task_type), options)

    def child(
        self, id: str, workflow_id: str | Workflow, version: int = 0, **options: Unpack[TaskOptions]
    ) -> Task:
        """Add a task that runs another workflow of the namespace, and returns the output of that workflow.

        Version 0 is the version that is active when the child starts. The `options` are the same as for
        `task`. Raises WorkflowDefinitionError.
        """
        child = definition_pb2.ChildWorkflow()
        named = (
            workflow_id.workflow_id if isinstance(workflow_id, Workflow) else check_workflow_id(workflow_id)
        )
        fill_field(child, f"task {id!r}", "workflow_id", named)
        fill_field(child, f"task {id!r}", "version", version)
        message = definition_pb2.TaskDefinition(id=check_task_id(id), type=CHILD_TYPE, workflow=child)
        return self._add(message, options)

    @property
    def definition(self) -> definition_pb2.WorkflowDefinition:
        """The definition as a new message of the contract, for `Client.create_workflow` and other calls.

        Raises WorkflowDefinitionError if the workflow uses a task that it does not have.
        """
        definition = definition_pb2.WorkflowDefinition()
        definition.CopyFrom(self._definition)
        self._known(self._uses_of_output, "output")
        for written in self._written.values():
            needs = self._known(written.uses, f"task {written.message.id!r}")
            definition.tasks.add().CopyFrom(written.message)
            definition.tasks[-1].needs.extend(needs)
        return definition

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as JSON, with the names that a YAML file has."""
        fields: dict[str, Any] = with_integers(as_json(self.definition))
        return fields

    async def validate(self, client: Client) -> ValidationReport:
        """Return every problem that the catalog finds, and the differences from the active version.

        Writes nothing, and may be repeated. Raises WorkflowError if the catalog does not answer.
        """
        return await client.validate_workflow(self.workflow_id, self.definition)

    async def publish(self, client: Client) -> WorkflowInfo:
        """Make this the workflow's draft, whatever the draft was, and publish it as the active version.

        If it is the active version already, nothing changes, so the call may be repeated. If somebody else
        changes the draft meanwhile, it is read again. Raises InvalidRequestError (with every problem of the
        definition), PreconditionError (Inactive or Archived), StaleError (the draft changed several times).
        """
        # Imported here because it loads gRPC, and a program that only builds a workflow does not need that.
        from workflow_sdk.authoring.publishing import publish

        return await publish(client, self.workflow_id, self.definition)

    def __repr__(self) -> str:
        return f"<workflow {self.workflow_id!r}>"

    def _add(self, message: definition_pb2.TaskDefinition, options: TaskOptions) -> Task:
        what = f"task {message.id!r}"
        if message.id in self._written:
            raise WorkflowDefinitionError(f"{self!r} has a {what} already: give one of them another id")
        check_options(what, options, TaskOptions.__annotations__)
        self._fill(message, what, options)
        used = [*self._after(options.get("after", ()), what)]
        for name in ("input", "when", "for_each"):
            used.extend(self._uses(options.get(name), f"{what}: {name}"))
        if message.id in used:
            raise WorkflowDefinitionError(
                f"{what} uses itself: it can only use tasks that end before it starts"
            )
        self._written[message.id] = _Written(message, frozenset(used))
        return Task(message.id, self._owner)

    def _fill(self, message: definition_pb2.TaskDefinition, what: str, options: TaskOptions) -> None:
        if "input" in options:
            message.input.CopyFrom(templates.template(options["input"], f"{what}: input"))
        if "when" in options:
            message.when = _condition(options["when"], what)
        if "for_each" in options:
            message.for_each.items.CopyFrom(_items(options["for_each"], what))
            fill_field(message.for_each, what, "max_parallel", options.get("max_parallel"))
        elif "max_parallel" in options:
            raise WorkflowDefinitionError(
                f"{what} has max_parallel and no for_each: remove it, or say for which"
            )
        if "output_schema" in options:
            message.output_schema.CopyFrom(
                templates.schema(options["output_schema"], f"{what}: output_schema")
            )
        for name in ("queue", "retry_policy", "timeouts"):
            fill_field(message, what, name, options.get(name))

    def _after(self, tasks: Task | Iterable[Task], what: str) -> Iterator[str]:
        for task in [tasks] if isinstance(tasks, Task) else tasks:
            if not isinstance(task, Task):
                raise WorkflowDefinitionError(
                    f"{what}: after has {task!r}: give tasks, as .task() returns them"
                )
            self._own([task._owner], f"{what}: after")
            yield task.id

    def _uses(self, value: Any, what: str) -> Iterator[str]:
        """Yield the ids of the tasks that a value uses."""
        for expression in templates.expressions_in(value):
            self._own(expression._owners, what)
            yield from used_tasks(expression._text)

    def _own(self, owners: Iterable[tuple[int, str]], what: str) -> None:
        for owner in sorted(owners):
            if owner != self._owner:
                raise WorkflowDefinitionError(
                    f"{what} uses another workflow, {owner[1]!r}: {self.workflow_id!r} has only its own input"
                    " and tasks; run the other one with .child()"
                )

    def _known(self, used: frozenset[str], what: str) -> list[str]:
        """Return the used tasks in the order of the definition."""
        for task_id in sorted(used - self._written.keys()):
            hint = did_you_mean(task_id, self._written) or f"; there are {', '.join(self._written)}"
            raise WorkflowDefinitionError(f"{what} uses task {task_id!r}, which {self!r} does not have{hint}")
        return [task_id for task_id in self._written if task_id in used]


def _type_of(function: Callable[..., Any], id: str) -> str:
    try:
        return definition_of(function).type
    except TaskDefinitionError as error:
        raise WorkflowDefinitionError(f"task {id!r}: {error}") from None


def _condition(when: Any, what: str) -> str:
    if not isinstance(when, Expression):
        raise WorkflowDefinitionError(
            f"{what}: when is {when!r}, no expression: compare something that is known when the workflow"
            " runs, or write cel('...')"
        )
    return templates.code(when)


def _items(for_each: Any, what: str) -> Any:
    if not isinstance(for_each, Expression | list | tuple):
        raise WorkflowDefinitionError(
            f"{what}: for_each is {for_each!r}: give a list, or an expression that will be one"
        )
    return templates.template(for_each, f"{what}: for_each")
