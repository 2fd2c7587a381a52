"""`@task` makes a function a handler; a `TaskRegistry` has the handlers of one worker.

    @task("orders.charge")
    async def charge(order, context):
        ...

Async functions run on the worker's event loop and must not block it; sync functions run in child processes.
A handler gets the task's input, and the `TaskContext` if it has a second parameter. The value that it returns
is the task's output (JSON).
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
    """A handler or a module with handlers can't be used; the text says what to change."""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A handler, and how to call it."""

    type: str
    """The name that workflow definitions use for the handler."""
    function: Callable[..., Any]
    is_async: bool
    takes_context: bool

    @property
    def module(self) -> str:
        """The module that a child process imports."""
        return str(getattr(self.function, "__module__", None) or type(self.function).__module__)

    @property
    def qualified_name(self) -> str:
        """The function's name within its module."""
        return str(getattr(self.function, "__qualname__", None) or type(self.function).__qualname__)

    def call(self, input: Any, context: Any) -> Any:
        """Call the handler. Return its result, or a coroutine if it is async."""
        return self.function(input, context) if self.takes_context else self.function(input)


def is_task_type(name: object) -> bool:
    """Return whether the name can be a task type: lower-case words joined by dots, at most 128 characters."""
    return isinstance(name, str) and len(name) <= 128 and _TYPE.fullmatch(name) is not None


def task(type: str) -> Callable[[Handler], Handler]:
    """Make a function the handler of a task type, such as `orders.charge`. The function itself is unchanged.

    Raises TaskDefinitionError if the name is not a task type, or if the function takes neither `(input)` nor
    `(input, context)`.
    """
    if not is_task_type(type):
        raise TaskDefinitionError(
            f"{type!r} is no task type: use lower-case words joined by dots, such as @task('orders.charge')"
        )

    def mark(function: Handler) -> Handler:
        marked = _marked(function)
        if marked is not None:
            raise TaskDefinitionError(
                f"{marked.qualified_name} is the handler of {marked.type!r} already, so it can't be that of"
                f" {type!r}: use @task once, and write a second function for the second type"
            )
        definition = TaskDefinition(type, function, _is_async(function), _takes_context(type, function))
        try:
            setattr(function, _MARK, definition)
        except AttributeError:
            raise TaskDefinitionError(
                f"{function!r} can't be marked as a handler: use @task on a function written with `def`"
            ) from None
        return function

    return mark


def definition_of(function: Callable[..., Any]) -> TaskDefinition:
    """Return the definition that `@task` attached to a function. Raises TaskDefinitionError without one.

    A decorator above `@task` that uses `functools.wraps`, and a method of an object, have the definition of
    the function below them. The handler is the argument of this call: the decorated function, or the method.
    """
    definition = _marked(function)
    if definition is None:
        raise TaskDefinitionError(f"{function!r} is no handler: decorate it with @task('some.type')")
    if definition.function is function:
        return definition
    is_async = definition.is_async or _is_async(function)
    return TaskDefinition(definition.type, function, is_async, _takes_context(definition.type, function))


def _marked(value: object) -> TaskDefinition | None:
    """Return the definition of a function; None for other objects, even if reading an attribute raises."""
    try:
        definition = getattr(value, _MARK, None)
        return definition if isinstance(definition, TaskDefinition) else None
    except Exception:
        return None


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


class TaskRegistry:
    """The handlers of one worker, by task type."""

    def __init__(self, functions: Iterable[Callable[..., Any]] = (), modules: Iterable[str] = ()) -> None:
        self._by_type: dict[str, TaskDefinition] = {}
        for function in functions:
            self.add(function)
        for module in modules:
            self.add_module(module)

    def add(self, function: Callable[..., Any]) -> None:
        """Add a handler. Raises TaskDefinitionError if its type already has another handler."""
        definition = definition_of(function)
        if not definition.is_async:
            _check_importable(definition)
        known = self._by_type.setdefault(definition.type, definition)
        if known is definition or _same(known.function, function):
            return
        if _same_source(known.function, function):  # a script that is also imported as a module
            if known.module == "__main__":
                self._by_type[definition.type] = definition
            return
        places = f"{_place(known)} and {_place(definition)}"
        hint = (
            "one decorates the other, so give the module one name for both"
            if _place(known) == _place(definition)
            else "remove one, or give it another type"
        )
        raise TaskDefinitionError(f"task type {definition.type!r} has two handlers, {places}: {hint}")

    def add_module(self, name: str) -> None:
        """Import a module and add every handler in it. Raises TaskDefinitionError if that fails."""
        module = _import(name)
        functions = [value for value in list(vars(module).values()) if _marked(value) is not None]
        if not functions:
            raise TaskDefinitionError(
                f"module {name} has no handlers: decorate functions with @task('some.type')"
            )
        for function in functions:
            self.add(function)

    def get(self, type: str) -> TaskDefinition | None:
        """Return the handler of a task type, or None."""
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


def _check_importable(definition: TaskDefinition) -> None:
    """Raise TaskDefinitionError if a child process would not find this function by its name."""
    name = definition.qualified_name
    if "<locals>" in name:
        raise TaskDefinitionError(
            f"{name} runs in a child process, which can't reach a function inside a function: move it to the"
            " top of its module, or make it async"
        )
    found: Any = sys.modules.get(definition.module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None or not _same(found, definition.function):
        raise TaskDefinitionError(
            f"the handler of {definition.type!r} runs in a child process, which would look for it as"
            f" {_place(definition)} and find something else: define it with that name at the top of a"
            " module (a method of an object, a partial and a lambda have no such name), or make it async"
        )


def _same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether both are the same handler. Every access of a method makes a new object."""
    methods = inspect.ismethod(one) and inspect.ismethod(other)
    return one is other or (methods and one == other)


def _same_source(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether both come from one file that was run as a script and imported as a module."""
    codes = [getattr(function, "__code__", None) for function in (one, other)]
    if None in codes or "__main__" not in (one.__module__, other.__module__):
        return False
    first, second = ((code.co_filename, code.co_firstlineno, code.co_qualname) for code in codes if code)
    return first == second


def _place(definition: TaskDefinition) -> str:
    return f"{definition.module}.{definition.qualified_name}"
