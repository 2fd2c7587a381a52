"""Evaluate an expression for every item of a fan-out. Parts that do not depend on the item run only once.

A template is evaluated for up to 10,000 items. To evaluate the whole expression each time, on everything that
it reads, would cost the number of items times the size of the input. So this module splits an expression:

- It takes out the largest parts that read neither `item` nor `index`, nor a variable of a loop around them.
  It evaluates each part once for all items. The rest of the expression finds the part's value under a name
  that no author can write.
- The rest reads `item` and `index` through functions. So one activation of the CEL library, in which every
  other value is converted only once, serves many items.

A part that fails is left unbound: `item.ok || input.missing.x` fails only for an item that is not ok, as it
should. If the rest fails for an item, the whole expression is evaluated again on all values, and this second
result counts. So values and errors are the same as without a split. In most fan-outs this second evaluation
happens at most once, because an item that fails ends the fan-out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cel_expr_python import cel
from google.protobuf import any_pb2

from workflow_expressions import access, cost, loops, programs, syntax
from workflow_expressions.budget import Budget
from workflow_expressions.errors import EvaluationError, WorkLimitError
from workflow_expressions.scope import Names
from workflow_expressions.values import JsonValue, to_json, weigh

_PART: Final = "@part"
_PER_ITEM: Final = ("item", "index")
_RENEW_WORK: Final = 1_000_000
"""Steps after which an activation is replaced. An activation keeps all intermediate values in memory."""

_current = threading.local()


def _getter(name: str, kind: Any) -> cel.FunctionDecl:
    overload = cel.Overload(
        f"@{name}_now", return_type=kind, parameters=[], impl=lambda: getattr(_current, name)
    )
    return cel.FunctionDecl(f"@{name}", [overload])


_ENVIRONMENT: Final = cel.NewEnv(
    variables=programs.VARIABLES,
    extensions=programs.EXTENSIONS,
    functions=[_getter(name, programs.VARIABLES[name]) for name in _PER_ITEM],
)


class _Expression(Protocol):
    """The part of an expression that this module needs. The class of that name in engine.py has it.

    The engine imports this module, so this module cannot import the engine.
    """

    @property
    def text(self) -> str: ...

    @property
    def names(self) -> Names: ...

    @property
    def syntax(self) -> syntax.Syntax: ...

    @property
    def value_type(self) -> str: ...

    @property
    def per_item(self) -> PerItem: ...

    def raw_value(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any: ...


OfProgram = Callable[[str, Any], _Expression]
"""A function that creates an expression from a text and its program."""


@dataclass(frozen=True, slots=True)
class PerItem:
    """An expression, split into shared parts and the rest."""

    parts: Mapping[str, _Expression]
    """The parts that are evaluated once, by the names under which the rest reads them."""
    program: Any
    """The program of the rest."""
    wanted: access.Tree
    """The keys that the rest reads from the bindings that all items share."""
    wanted_of_item: access.Tree
    """The keys that the rest reads from `item` and `index`."""
    formula: cost.Formula
    """The cost of the rest."""


def split(text: str, serialized: bytes, of_program: OfProgram) -> PerItem:
    """Split a compiled expression. `serialized` is the result of the library's `serialize()`."""
    return _Splitter(text, serialized, of_program).split()


class ItemBindings(Mapping[str, Any]):
    """The bindings of a fan-out. `item` and `index` change; all items share everything else."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self._shared = shared
        self._item: dict[str, Any] = {}
        self._once: dict[str, JsonValue] = {}
        self._rests: dict[str, _Rest] = {}

    def turn_to(self, item: JsonValue, index: int) -> None:
        """Make this the current item, for which the next evaluations are."""
        self._item = {"item": item, "index": index}

    def evaluate(self, expression: _Expression, budget: Budget) -> JsonValue:
        """Return the value of an expression for the current item. Raise EvaluationError if it fails."""
        names, text = expression.names, expression.text
        if not names.item and not names.index:
            if text not in self._once:
                self._once[text] = to_json(expression.raw_value(self._shared, budget))
            return self._once[text]
        if text not in self._rests:
            self._rests[text] = _Rest(expression, self._shared, budget)
        return self._rests[text].evaluate(self, budget)

    def __getitem__(self, name: str) -> Any:
        return self._item[name] if name in self._item else self._shared[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._shared, **self._item})

    def __len__(self) -> int:
        return len({**self._shared, **self._item})


class _Rest:
    """The part of an expression that depends on the item, with everything else bound."""

    def __init__(self, expression: _Expression, shared: Mapping[str, Any], budget: Budget) -> None:
        self._expression = expression
        self._per_item = expression.per_item
        bound: dict[str, Any] = access.prune(shared, self._per_item.wanted)
        self._bytes = weigh(bound)
        self._bound = bound | dict(_values_of(self._per_item.parts, shared, budget))
        self._known: dict[int, cost.Shape] = {}
        self._activation: Any = None
        self._work_left = 0.0

    def evaluate(self, bindings: ItemBindings, budget: Budget) -> JsonValue:
        """Return the value for the current item. Raise EvaluationError if it fails."""
        own: dict[str, Any] = access.prune(bindings, self._per_item.wanted_of_item)
        try:
            item_bytes = weigh(own)
            found = self._per_item.formula.check(self._bound | own, self._bytes + item_bytes, self._known)
            if found.longest > loops.MIN_PART:
                return self._whole(bindings, budget)
            budget.spend(found.work + item_bytes)
            self._make_room(found.work + item_bytes, budget)
            _current.item, _current.index = own.get("item"), own.get("index")
            return to_json(programs.taken(lambda: self._per_item.program.eval(self._activation)))
        except WorkLimitError:
            raise
        except (EvaluationError, OverflowError):
            return self._whole(bindings, budget)

    def _make_room(self, work: float, budget: Budget) -> None:
        """Replace the activation if its evaluations have taken more than _RENEW_WORK steps."""
        self._work_left -= work
        if self._activation is None or self._work_left < 0:
            budget.spend(self._bytes)
            self._activation = _ENVIRONMENT.Activation(data=self._bound)
            self._work_left = _RENEW_WORK

    def _whole(self, bindings: ItemBindings, budget: Budget) -> JsonValue:
        return to_json(self._expression.raw_value(bindings, budget))


def _values_of(
    parts: Mapping[str, _Expression], shared: Mapping[str, Any], budget: Budget
) -> Iterator[tuple[str, Any]]:
    """Yield the values of the parts. Leave out a part that fails: the expression that reads it fails too."""
    for name, part in parts.items():
        try:
            yield name, part.raw_value(shared, budget)
        except WorkLimitError:
            raise
        except EvaluationError:
            continue


class _Splitter:
    def __init__(self, text: str, serialized: bytes, of_program: OfProgram) -> None:
        self._text = text
        self._of_program = of_program
        self._envelope = any_pb2.Any.FromString(serialized)
        self._checked = syntax.CheckedExpr.FromString(self._envelope.value)
        self._parts: dict[str, _Expression] = {}

    def split(self) -> PerItem:
        root = self._checked.expr
        self._take_out(root, frozenset())
        tree = syntax.to_node(root)
        reads = list(access.accesses(tree))
        shared = access.tree(read for read in reads if read.root not in _PER_ITEM)
        own = access.tree(read for read in reads if read.root in _PER_ITEM)
        formula = cost.formula(syntax.Syntax(tree, tuple(syntax.walk(tree)), {}), {})
        _call_for_items(root, frozenset())
        return PerItem(self._parts, self._program_of(root), shared, own, formula)

    def _take_out(self, expr: Any, variables: frozenset[str]) -> None:
        """Take the largest shared parts out of `expr`. `variables` has the variables of outer loops."""
        if not _is_work(expr):
            return
        if _is_shared(syntax.to_node(expr), variables):
            part = self._of_program(self._text, self._program_of(expr))
            if loops.gives_json(part.syntax.tree, part.value_type):
                name = f"{_PART}{len(self._parts)}"
                self._parts[name] = part
                loops.become_name(expr, name)
                return
        for child, own in _children(expr):
            self._take_out(child, variables | own)

    def _program_of(self, expr: Any) -> Any:
        checked = syntax.CheckedExpr()
        checked.CopyFrom(self._checked)
        checked.expr.CopyFrom(expr)
        envelope = any_pb2.Any(type_url=self._envelope.type_url, value=checked.SerializeToString())
        return _ENVIRONMENT.deserialize(envelope.SerializeToString())


def _is_work(expr: Any) -> bool:
    """Return whether there is a call or a loop to evaluate. A path needs no split: it is only bound."""
    return any(
        isinstance(node, syntax.Call | syntax.Comprehension) for node in syntax.walk(syntax.to_node(expr))
    )


def _is_shared(tree: syntax.Node, variables: frozenset[str]) -> bool:
    """Return whether the value is the same for every item and every step of the loops around it."""
    return not any(name in variables or name in _PER_ITEM for name in _free_names(tree, frozenset()))


def _free_names(node: syntax.Node, bound: frozenset[str]) -> Iterator[str]:
    """Yield the names in a tree that the tree does not bind itself."""
    match node:
        case syntax.Ident(name=name):
            if name.startswith("."):
                yield name.removeprefix(".")
            elif name not in bound:
                yield name
        case syntax.Comprehension():
            inner = bound | node.variables | {node.accumulator}
            for outside in (node.range, node.initial):
                yield from _free_names(outside, bound)
            for inside in (node.condition, node.step):
                yield from _free_names(inside, inner)
            yield from _free_names(node.result, bound | {node.accumulator})
        case _:
            for child in syntax.children(node):
                yield from _free_names(child, bound)


def _children(expr: Any) -> Iterator[tuple[Any, frozenset[str]]]:
    """Yield the direct children of an expression, each with the additional loop variables that it sees."""
    nothing: frozenset[str] = frozenset()
    match expr.WhichOneof("kind"):
        case "select":
            yield expr.select.operand, nothing
        case "call":
            if expr.call.HasField("target"):
                yield expr.call.target, nothing
            yield from ((each, nothing) for each in expr.call.args)
        case "list":
            yield from ((each, nothing) for each in expr.list.elements)
        case "struct":
            for entry in expr.struct.entries:
                yield from ((entry.map_key, nothing), (entry.value, nothing))
        case "comprehension":
            yield from _children_of_loop(expr.comprehension)


def _children_of_loop(loop: Any) -> Iterator[tuple[Any, frozenset[str]]]:
    accumulator = frozenset((loop.accu_var,))
    inner = accumulator | {name for name in (loop.iter_var, loop.iter_var2) if name}
    yield from ((loop.iter_range, frozenset[str]()), (loop.accu_init, frozenset[str]()))
    yield from ((loop.loop_condition, inner), (loop.loop_step, inner), (loop.result, accumulator))


def _call_for_items(expr: Any, variables: frozenset[str]) -> None:
    """Replace every `item` and `index` by a call, unless it is the variable of a loop."""
    if expr.WhichOneof("kind") == "ident":
        name = expr.ident.name.removeprefix(".")
        if name in _PER_ITEM and (expr.ident.name.startswith(".") or name not in variables):
            loops.become_call(expr, f"@{name}")
    for child, own in _children(expr):
        _call_for_items(child, variables | own)
