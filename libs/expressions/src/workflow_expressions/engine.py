"""One CEL expression: compiled once, then evaluated on the values that it uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

from cel_expr_python import cel

from workflow_expressions import access, cost, items, loops, messages, programs
from workflow_expressions.budget import Budget
from workflow_expressions.errors import (
    EvaluationError,
    ExpressionSyntaxError,
    UnknownNameError,
)
from workflow_expressions.limits import MAX_CACHED_EXPRESSIONS
from workflow_expressions.scope import EXECUTION_FIELDS, ROOTS, TASK_FIELDS, Names, Scope
from workflow_expressions.suggestions import nearest
from workflow_expressions.syntax import MapOf, Syntax, parse_checked
from workflow_expressions.values import JsonValue, to_json, weigh

_ENVIRONMENT: Final = cel.NewEnv(variables=programs.VARIABLES, extensions=programs.EXTENSIONS)


@dataclass(frozen=True)
class Expression:
    """A compiled expression. It does not depend on a scope, so equal texts share one.

    The first evaluation computes the parts that only evaluations need: the catalog checks many expressions
    and evaluates almost none of them.
    """

    text: str
    names: Names
    result_type: str
    """CEL's name of the type: BOOL, INT, LIST, MAP, ..., or DYN if the type is not known."""
    reads: tuple[access.Access, ...]
    """Every path that the expression reads."""
    syntax: Syntax
    _program: Any

    def check(self, scope: Scope) -> None:
        """Raise UnknownNameError if a name does not exist in `scope`."""
        for each in self.reads:
            _check_access(each, scope, self.text)

    @cached_property
    def _reference(self) -> access.Access | None:
        return access.reference(self.syntax.tree)

    @cached_property
    def _wanted(self) -> access.Tree:
        return access.tree(self.reads)

    @cached_property
    def _plan(self) -> loops.Plan | None:
        return loops.plan(_ENVIRONMENT, self._program.serialize())

    @cached_property
    def _cost(self) -> cost.Formula:
        return cost.formula(self.syntax, self._plan.node_ids if self._plan else {})

    @property
    def value_type(self) -> str:
        """CEL's name of the whole type, such as `LIST<DYN>`."""
        return str(self._program.return_type().name())

    @cached_property
    def per_item(self) -> items.PerItem:
        """The expression, split for a fan-out into parts that depend on the item and parts that do not."""
        return items.split(self.text, self._program.serialize(), _of_program)

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> JsonValue:
        """Return the value on these bindings. For a plain path, return the bound value itself, not a copy.

        Spend the steps from `budget`. Raise EvaluationError if the evaluation fails, and WorkLimitError if
        the budget is used up.
        """
        try:
            if self._reference is not None:
                value: JsonValue = access.follow(self._reference, bindings)
                return value
            if isinstance(bindings, items.ItemBindings):
                return bindings.evaluate(self, budget or Budget())
            return to_json(self.raw_value(bindings, budget))
        except EvaluationError as error:
            error.expression = self.text
            raise

    def raw_value(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """Return the value as the library returns it, before it becomes JSON. Raise as `evaluate` does."""
        values = access.prune(bindings, self._wanted)
        for root in self._wanted:
            if root not in values:
                raise EvaluationError(messages.not_bound(root))
        size = weigh(values)
        found = self._cost.check(values, size)
        if budget is not None:
            budget.spend(found.work + size)
        if found.longest > loops.MIN_PART and self._plan is not None:
            return self._plan.run(values, size)
        return programs.run(self._program, values)


def compile_expression(text: str, scope: Scope) -> Expression:
    """Compile `text` and check its names against `scope`. Raise ExpressionError if it is not valid."""
    try:
        expression = _compile(text)
    except UnknownNameError as error:
        if not error.message:
            error.message = f"`{error.name}` is not known here: {_advice(error.name, scope)}"
        raise
    expression.check(scope)
    return expression


@lru_cache(maxsize=MAX_CACHED_EXPRESSIONS)
def _compile(text: str) -> Expression:
    try:
        program = _ENVIRONMENT.compile(text)
    except (RuntimeError, UnicodeError, ValueError) as error:
        raise _compile_error(text, str(error)) from None
    result_type = program.return_type().name().partition("<")[0]
    if result_type == "optional_type":
        sentence = "an optional is not a value: give it a default with `.orValue(...)`"
        raise ExpressionSyntaxError(sentence, expression=text)
    expression = _of_program(text, program)
    if any(isinstance(node, MapOf) and node.message for node in expression.syntax.nodes):
        raise ExpressionSyntaxError("types cannot be built here: write an object, `{...}`", expression=text)
    return expression


def _of_program(text: str, program: Any) -> Expression:
    found = parse_checked(program.serialize())
    reads = tuple(access.accesses(found.tree))
    for each in reads:
        _check_shape(each, text)
    return Expression(
        text=text,
        names=access.names(reads),
        result_type=program.return_type().name().partition("<")[0],
        reads=reads,
        syntax=found,
        _program=program,
    )


def _no_function(function: str) -> str:
    advice = "use one of those that docs/language.md lists, or compute it in a handler"
    if function.rpartition(".")[2] in ("sum", "avg", "average", "count", "len", "length"):
        advice = "`size` counts; add up in a handler. docs/language.md lists the functions"
    return f"there is no function `{function}` in CEL: {advice}"


def _compile_error(text: str, message: str) -> ExpressionSyntaxError | UnknownNameError:
    problem = messages.compile_problem(message)
    if not problem.name:
        return ExpressionSyntaxError(problem.text, expression=text, line=problem.line, column=problem.column)
    called = re.search(rf"\b{re.escape(problem.name)}(?:\.\w+)*\s*\(", text)
    function = called[0].rstrip("( \t\n") if called else ""
    sentence = _no_function(function) if function else ""
    unknown = UnknownNameError(sentence, expression=text, line=problem.line, column=problem.column)
    unknown.name = problem.name
    return unknown


def _check_shape(each: access.Access, text: str) -> None:
    """Check that an access to a task names the task, and then `output` or `status`, in the text."""
    if each.root != "tasks":
        return
    if not each.path or not isinstance(each.path[0], str):
        sentence = "name the task, as in `tasks.fetch.output`: an expression cannot read all tasks"
    elif len(each.path) < 2 or each.path[1] not in TASK_FIELDS:
        sentence = f"a task has only `tasks.{each.path[0]}.output` and `tasks.{each.path[0]}.status`"
    else:
        return
    name = ".".join(("tasks", *map(str, each.path[:2])))
    raise UnknownNameError(sentence, expression=text).of(name)


def _check_access(each: access.Access, scope: Scope, text: str) -> None:
    first = str(each.path[0]) if each.path else ""
    if each.root in ("item", "index") and not scope.in_fan_out:
        sentence = f"`{each.root}` exists only in a task with `for_each`"
        raise UnknownNameError(sentence, expression=text).of(each.root)
    if each.root == "execution" and first and first not in EXECUTION_FIELDS:
        guess = _did_you_mean(nearest(first, EXECUTION_FIELDS))
        sentence = f"`execution` has {_listed(EXECUTION_FIELDS)}{guess}"
        raise UnknownNameError(sentence, expression=text).of(f"execution.{first}")
    if each.root != "tasks" or scope.tasks is None or first in scope.tasks:
        return
    suggestion = ""
    if first in scope.later_tasks:
        sentence = f"task `{first}` may not have ended when this runs: add it to `needs`"
    else:
        suggestion = nearest(first, sorted(scope.tasks | scope.later_tasks))
        sentence = f"there is no task `{first}`{_did_you_mean(suggestion)}"
    raise UnknownNameError(sentence, expression=text, suggestion=suggestion).of(first)


def _advice(name: str, scope: Scope) -> str:
    root = name.split(".")[0]
    if scope.tasks is not None and root in scope.tasks | scope.later_tasks:
        return f"did you mean `tasks.{root}.output`?"
    suggestion = nearest(root, ROOTS)
    return f"did you mean `{suggestion}`?" if suggestion else f"an expression begins with {_listed(ROOTS)}"


def _did_you_mean(suggestion: str) -> str:
    return f", did you mean `{suggestion}`?" if suggestion else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in names)
