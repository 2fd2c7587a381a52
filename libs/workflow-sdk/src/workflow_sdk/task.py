"""`@task` makes a function a handler; a `TaskRegistry` has those of one worker.

    @task("orders.charge")
    async def charge(order, context):
        ...

Async functions run on the worker's event loop and must not block it; plain functions run in child
processes. A handler takes the task's input, and the `TaskContext` where it has a second parameter; what it
returns is the task's output (JSON).
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

_TYPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*")
_MARK = "__workflow_task__"

Handler = TypeVar("Handler", bound=Callable[..., Any])


class TaskDefinitionError(ValueError):
    """A handler, or a module with handlers, can't be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A handler and how it is called."""

    type: str
    """The name that workflow definitions use."""
    function: Callable[..., Any]
    is_async: bool
    takes_context: bool

    @property
    def module(self) -> str:
        """The module that a child process imports."""
        return self.function.__module__

    @property
    def qualified_name(self) -> str:
        """The function's place in its module."""
        return self.function.__qualname__

    def call(self, input: Any, context: Any) -> Any:
        """The handler's result; of an async one its coroutine."""
        return self.function(input, context) if self.takes_context else self.function(input)


def is_task_type(name: object) -> bool:
    """Whether it can be a task type: lower-case words joined by dots, at most 128 characters."""
    return isinstance(name, str) and len(name) <= 128 and _TYPE.fullmatch(name) is not None


def task(type: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of tasks of this type, such as `orders.charge`; it stays as it is.

    Raises TaskDefinitionError for a bad name, and for a function that doesn't take `(input)` or
    `(input, context)`.
    """
    if not is_task_type(type):
        raise TaskDefinitionError(
            f"{type!r} is no task type: use lower-case words joined by dots, such as @task('orders.charge')"
        )

    def mark(function: Handler) -> Handler:
        takes_context = _takes_context(type, function)
        is_async = inspect.iscoroutinefunction(function)
        setattr(function, _MARK, TaskDefinition(type, function, is_async, takes_context))
        return function

    return mark


def definition_of(function: Callable[..., Any]) -> TaskDefinition:
    """What `@task` noted about a function. Raises TaskDefinitionError for one without."""
    definition = getattr(function, _MARK, None)
    if not isinstance(definition, TaskDefinition):
        raise TaskDefinitionError(f"{function!r} is no handler: decorate it with @task('some.type')")
    return definition


class TaskRegistry:
    """The handlers of one worker, by task type."""

    def __init__(self, functions: Iterable[Callable[..., Any]] = (), modules: Iterable[str] = ()) -> None:
        self._by_type: dict[str, TaskDefinition] = {}
        for function in functions:
            self.add(function)
        for module in modules:
            self.add_module(module)

    def add(self, function: Callable[..., Any]) -> None:
        """Add a handler. Raises TaskDefinitionError where another one has its type already."""
        definition = definition_of(function)
        if not definition.is_async and "<locals>" in definition.qualified_name:
            raise TaskDefinitionError(
                f"{definition.qualified_name} runs in a child process, which can't reach a function inside a"
                " function: move it to the top of its module, or make it async"
            )
        known = self._by_type.setdefault(definition.type, definition)
        if known.function is not function:
            raise TaskDefinitionError(
                f"task type {definition.type!r} has two handlers: {_place(known)} and {_place(definition)}"
            )

    def add_module(self, name: str) -> None:
        """Import a module and add every handler in it. Raises TaskDefinitionError where that fails."""
        module = _import(name)
        functions = [value for value in vars(module).values() if hasattr(value, _MARK)]
        if not functions:
            raise TaskDefinitionError(
                f"module {name} has no handlers: decorate functions with @task('some.type')"
            )
        for function in functions:
            self.add(function)

    def get(self, type: str) -> TaskDefinition | None:
        """The handler of a task type."""
        return self._by_type.get(type)

    def __iter__(self) -> Iterator[TaskDefinition]:
        return iter(self._by_type.values())

    def __len__(self) -> int:
        return len(self._by_type)

    @property
    def types(self) -> list[str]:
        """All task types, sorted."""
        return sorted(self._by_type)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and not (name == error.name or name.startswith(error.name + ".")):
            raise TaskDefinitionError(f"module {name} needs {error.name}, which is not installed") from error
        raise TaskDefinitionError(
            f"there is no module {name} on the import path {sys.path[:3]}...: start the worker where"
            f" `python -c 'import {name}'` works"
        ) from error
    except TaskDefinitionError:
        raise
    except Exception as error:
        raise TaskDefinitionError(f"importing {name} failed: {error.__class__.__name__}: {error}") from error


def _takes_context(type: str, function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    for arguments in ((None, None), (None,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TaskDefinitionError(
        f"the handler of {type!r} must take (input) or (input, context), not {signature}"
    )


def _place(definition: TaskDefinition) -> str:
    return f"{definition.module}.{definition.qualified_name}"
