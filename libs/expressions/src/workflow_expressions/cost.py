"""Compute an upper bound of what an expression may cost on given values, before it is evaluated.

The CEL library stops after 10,000 loop steps and parses at most 32 levels. Within these limits an expression
can still run for minutes, if it compares, joins or doubles large values inside loops. So this module computes
an upper bound of the cost from the syntax tree and the real sizes of the values:

- A shape is the size of a value in bytes of JSON and its number of elements (characters for a string).
- The steps of a loop cost at most as much as one step on the whole range, plus one step on an empty value for
  each further element. This holds because costs are convex in the size of an element, and all elements
  together are no larger than the range.
- At every step, `map` and `filter` copy the list built so far, or its last part (`loops.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

from workflow_expressions.errors import BudgetExceededError
from workflow_expressions.limits import MAX_RESULT_BYTES, MAX_WORK
from workflow_expressions.loops import part_length
from workflow_expressions.syntax import (
    Call,
    Comprehension,
    Ident,
    ListOf,
    Literal,
    MapOf,
    Node,
    Select,
    Syntax,
)

_SCALAR_BYTES: Final = 24
_SMALL_BYTES: Final = 4096
_COPY_WORK: Final = 8
"""Steps to copy one element while a list is built."""
_REGEX_WORK: Final = 32

_UNKNOWN: Final = object()


@dataclass(frozen=True, slots=True)
class Shape:
    """The largest size that a value may have. `value` is the value itself if it is known."""

    size: float
    length: float
    value: Any = _UNKNOWN


class Cost(NamedTuple):
    """The most that an evaluation may cost."""

    work: float
    """Steps."""
    longest: float
    """The length of the longest list that a loop may build."""


_SCALAR: Final = Shape(_SCALAR_BYTES, _SCALAR_BYTES)
_NOTHING: Final = Shape(0, 0)

_SCALAR_RESULTS: Final = frozenset(
    {
        *("size", "int", "uint", "double", "bool", "duration", "timestamp", "type", "matches", "contains"),
        *("startsWith", "endsWith", "indexOf", "lastIndexOf", "hasValue", "@not_strictly_false"),
        *("_-_", "_*_", "_/_", "_%_", "-_", "!_", "_&&_", "_||_"),
    }
)
_COMPARISONS: Final = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"))
_MEMBERSHIP: Final = frozenset(("@in", "_in_"))
_ELEMENTS: Final = frozenset(("_[_]", "_?._", "_[?_]", "orValue", "or", "value"))


@dataclass(frozen=True, slots=True)
class Formula:
    """The cost of an expression as a function of the bound values."""

    _tree: Node
    _nodes: int
    _amplifies: bool
    """True if it has a loop, or a function whose result can be larger than its arguments."""
    _in_parts: Mapping[int, bool]
    """The loops that run in parts, by node id. The value is True if each part binds other values again."""

    def check(self, values: Mapping[str, Any], size: int, known: dict[int, Shape] | None = None) -> Cost:
        """Return the most that an evaluation on `values`, of `size` bytes of JSON, may cost.

        `known` caches the shapes of values by their ids, for several checks while these values live.
        Raise BudgetExceededError if the cost is over MAX_WORK, or the result over MAX_RESULT_BYTES.
        """
        at_most = self._nodes * size
        if not self._amplifies and at_most <= MAX_RESULT_BYTES:
            return Cost(at_most if at_most <= _SMALL_BYTES else self._least(at_most, values, size, known), 0)
        estimate = _Estimate(values, size, self._in_parts, known)
        if estimate.shape(self._tree, {}).size > MAX_RESULT_BYTES:
            _refuse("its result could be too large")
        return Cost(estimate.work, estimate.longest)

    def _least(
        self, at_most: float, values: Mapping[str, Any], size: int, known: dict[int, Shape] | None
    ) -> float:
        """Return the lower of two bounds of the steps: a path into a large value takes few steps."""
        estimate = _Estimate(values, size, self._in_parts, known)
        with suppress(BudgetExceededError):
            estimate.shape(self._tree, {})
        return min(at_most, estimate.work)


def formula(syntax: Syntax, in_parts: Mapping[int, bool]) -> Formula:
    """Return the cost formula of a syntax tree. The loops `in_parts` copy only a part of what they build."""
    amplifies = any(
        isinstance(node, Comprehension) or (isinstance(node, Call) and node.function in ("replace", "join"))
        for node in syntax.nodes
    )
    return Formula(syntax.tree, len(syntax.nodes), amplifies, in_parts)


def _refuse(why: str) -> NoReturn:
    raise BudgetExceededError(
        f"{why} on these values: pass less data, loop only once, or do it in a task's handler"
    )


def _is_path(values: Any) -> bool:
    """Return whether every level has a single key, so that the size of the last value is the whole size."""
    while isinstance(values, Mapping) and len(values) == 1:
        (values,) = values.values()
    return not isinstance(values, Mapping)


class _Estimate:
    """One pass over a tree, which adds up `work` and computes shapes. `_times` is how often a node runs."""

    def __init__(
        self,
        values: Mapping[str, Any],
        size: int,
        in_parts: Mapping[int, bool],
        known: dict[int, Shape] | None,
    ) -> None:
        self.work = 0.0
        self.longest = 0.0
        """The length of the longest list that a loop may build."""
        self._in_parts = in_parts
        self._values = values
        self._size = size
        self._all_together = size <= _SMALL_BYTES or _is_path(values)
        self._times = 1.0
        self._known: dict[int, Shape] = {} if known is None else known

    def shape(self, node: Node, variables: Mapping[str, Shape]) -> Shape:
        self._charge(1)
        match node:
            case Literal(value=value):
                return Shape(len(value) + 2, len(value)) if isinstance(value, str) else _SCALAR
            case Ident(name=name):
                return self._name(name, variables)
            case Select():
                return self._select(node, variables)
            case Call():
                return self._call(node, [self.shape(each, variables) for each in node.arguments])
            case ListOf(elements=parts) | MapOf(parts=parts):
                sizes = [self.shape(part, variables).size for part in parts]
                return Shape(sum(sizes) + 2 * len(sizes) + 2, len(sizes))
            case Comprehension():
                return self._loop(node, variables)

    def _charge(self, steps: float) -> None:
        self.work += steps * self._times
        if self.work > MAX_WORK:
            _refuse("it could take too long")

    def _name(self, name: str, variables: Mapping[str, Shape]) -> Shape:
        if not name.startswith(".") and name in variables:
            return variables[name]
        name = name.removeprefix(".")
        return self._of_value(self._values[name]) if name in self._values else _SCALAR

    def _select(self, node: Select, variables: Mapping[str, Shape]) -> Shape:
        operand = self.shape(node.operand, variables)
        if node.test_only:
            return _SCALAR
        if isinstance(operand.value, Mapping):
            return self._of_value(operand.value.get(node.field))
        return Shape(operand.size, operand.size)

    def _of_value(self, value: Any) -> Shape:
        """Return the shape of a known value. If all values together are small, use their size as a bound."""
        if isinstance(value, str):
            return Shape(4 * len(value) + 2, len(value), value)
        if not isinstance(value, list | dict):
            return _SCALAR
        if id(value) not in self._known:
            size = self._size if self._all_together else len(json.dumps(value))
            self._known[id(value)] = Shape(size, len(value), value)
        return self._known[id(value)]

    def _call(self, node: Call, arguments: list[Shape]) -> Shape:
        sizes = [each.size for each in arguments]
        if node.function in _ELEMENTS:
            return self._element(node, arguments)
        if node.function == "_+_":
            self._charge(sum(each.length for each in arguments))
            return Shape(sum(sizes), sum(each.length for each in arguments))
        if node.function in _COMPARISONS:
            self._charge(min(sizes))
            return _SCALAR
        if node.function in _MEMBERSHIP:
            self._charge(1 if isinstance(arguments[-1].value, Mapping) else sizes[-1])
            return _SCALAR
        if node.function == "_?_:_":
            return Shape(max(sizes[1:]), max(each.length for each in arguments[1:]))
        return self._function(node.function, arguments)

    def _element(self, node: Call, arguments: list[Shape]) -> Shape:
        first = arguments[0]
        key = (
            node.arguments[1].value if len(arguments) > 1 and isinstance(node.arguments[1], Literal) else None
        )
        if isinstance(first.value, Mapping) and isinstance(key, str):
            return self._of_value(first.value.get(key))
        if node.function == "_[_]" and isinstance(first.value, list | Mapping):
            return self._largest_in(first.value)
        size = sum(each.size for each in arguments)
        return Shape(size, size)

    def _largest_in(self, values: Any) -> Shape:
        """Return the shape of the largest element of a known value, a bound for the element at any key."""
        place = ~id(values)  # differs from the id of every value: ids are not negative
        if place not in self._known:
            elements = values.values() if isinstance(values, Mapping) else values
            size = max((len(json.dumps(each)) for each in elements), default=0)
            self._known[place] = Shape(size, size)
        return self._known[place]

    def _function(self, name: str, arguments: list[Shape]) -> Shape:
        total = sum(each.size for each in arguments)
        self._charge(total * _REGEX_WORK if name == "matches" else 1 if name in ("size", "type") else total)
        if name in _SCALAR_RESULTS:
            return _SCALAR
        if name == "replace" and len(arguments) > 2:
            grown = (arguments[0].length + 1) * max(arguments[2].size, 1) + arguments[0].size
            self._charge(grown)
            return Shape(grown, grown)
        if name == "join":
            separators = arguments[0].length * (arguments[1].size if len(arguments) > 1 else 0)
            self._charge(separators)
            return Shape(total + separators, total + separators)
        return Shape(total, total)

    def _loop(self, node: Comprehension, variables: Mapping[str, Shape]) -> Shape:
        elements = self.shape(node.range, variables)
        initial = self.shape(node.initial, variables)
        whole = self._step(node, variables, Shape(elements.size, elements.size), 1)
        others = max(elements.length - 1, 0)
        nothing = self._step(node, variables, _NOTHING, others)
        size = initial.size + whole.size + others * nothing.size
        length = initial.length + whole.length + others * nothing.length
        if _builds_list(node):
            length = min(length, elements.length)
            self._charge(_COPY_WORK * length * self._copied(node, length) / 2)
            self.longest = max(self.longest, length)
        return self.shape(node.result, {**variables, node.accumulator: Shape(size, length)})

    def _copied(self, node: Comprehension, length: float) -> float:
        """Return the most elements that one step copies."""
        if node.node_id not in self._in_parts:
            return length
        return min(length, part_length(self._size if self._in_parts[node.node_id] else 0))

    def _step(
        self, node: Comprehension, variables: Mapping[str, Shape], element: Shape, times: float
    ) -> Shape:
        """Return the shape that one step adds to the result, and charge the work of `times` steps."""
        inner = {**variables, **dict.fromkeys(node.variables, element), node.accumulator: _NOTHING}
        outer, self._times = self._times, self._times * times
        try:
            self.shape(node.condition, inner)
            return self.shape(node.step, inner)
        finally:
            self._times = outer


def _builds_list(node: Comprehension) -> bool:
    return isinstance(node.initial, ListOf)
