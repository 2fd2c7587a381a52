"""Loops over long lists, a part at a time.

The CEL library builds the result of `map` and `filter` by copying it at every step: 10,000 elements took 5
seconds. In parts of 64 elements they take 20 ms. So where such a loop is certain to run, it is taken out of
the expression: its range is evaluated first, then its body on one part of the range after the other, and the
rest of the expression finds the list under a name that no author can write. That is done only where the list
is long; what comes out is the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import any_pb2

from workflow_expressions import access, programs, syntax

MIN_PART: Final = 64
"""Elements that are looped over at once, at least; a list with more counts as long."""

_RANGE: Final = "@range"
_LOOP: Final = "@loop"
_LAZY: Final = frozenset(("_&&_", "_||_", "_?_:_", "@not_strictly_false"))
"""Functions that do not evaluate all of their arguments."""

_JSON_TYPES: Final = frozenset(("NULL", "BOOL", "INT", "DOUBLE", "STRING", "LIST", "MAP", "DYN"))
_OTHER_VALUES: Final = frozenset(("uint", "bytes", "duration", "timestamp", "type", "_?._", "_[?_]"))
"""Functions whose values come back from Python as something else, or not at all."""

_NO_NODE: Final = 1 << 40

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression that is a program of its own."""

    program: Any
    wanted: access.Tree
    hidden: frozenset[str]
    """Names of the loops whose results it uses."""
    alias: str
    """The loop whose result it is, if it is nothing more."""
    reference: access.Access | None
    """The path that it is, if it is nothing more."""
    gives_json: bool
    """Whether its value is certain to survive the way through Python unchanged."""

    @property
    def reads_more(self) -> bool:
        """Whether it reads anything that must be bound."""
        return bool(self.wanted or self.hidden)

    def run(self, values: Values, known: Values) -> Any:
        """Its value on the bound values and the results of loops before it."""
        if self.alias:
            return known[self.alias]
        if self.reference is not None:
            return access.follow(self.reference, values)
        return programs.run(self.program, self.data(values, known))

    def data(self, values: Values, known: Values) -> dict[str, Any]:
        """The variables that it uses."""
        data: dict[str, Any] = access.prune(values, self.wanted)
        data.update((name, known[name]) for name in self.hidden)
        return data


@dataclass(frozen=True, slots=True)
class Loop:
    """A `map` or `filter` that was taken out."""

    name: str
    range: Part
    body: Part

    def run(self, values: Values, known: Values, size: int) -> Any:
        """The list that it builds."""
        elements = self.range.run(values, known)
        data = self.body.data(values, known)
        if not isinstance(elements, list):  # the keys of an object, or a mistake that CEL will tell
            return programs.run(self.body.program, {**data, _RANGE: elements})
        length = part_length(size if self.body.reads_more else 0)
        result: list[Any] = []
        for start in range(0, len(elements), length):
            data[_RANGE] = elements[start : start + length]
            result += programs.run(self.body.program, data)
        return result


@dataclass(frozen=True, slots=True)
class Plan:
    """An expression without its loops, and the loops in the order in which they run."""

    loops: tuple[Loop, ...]
    rest: Part
    node_ids: Mapping[int, bool]
    """The loops that were taken out, by node id; whether the body reads more than its range."""

    def run(self, values: Values, size: int) -> Any:
        """The value of the expression on values of `size` bytes of JSON. Raises EvaluationError."""
        known: dict[str, Any] = {}
        for loop in self.loops:
            known[loop.name] = loop.run(values, known, size)
        return self.rest.run(values, known)


def part_length(size: int) -> int:
    """Elements to loop over at once, where each part costs binding up to `size` bytes of values."""
    return max(MIN_PART, math.isqrt(size))


def plan(environment: Any, serialized: bytes) -> Plan | None:
    """Take the loops out of a compiled expression, given as its `serialize()` gives it; None without any."""
    return _Planner(environment, serialized).plan()


class _Planner:
    def __init__(self, environment: Any, serialized: bytes) -> None:
        self._environment = environment
        self._envelope = any_pb2.Any.FromString(serialized)
        self._checked = syntax.CheckedExpr.FromString(self._envelope.value)
        self._loops: list[Loop] = []
        self._node_ids: dict[int, bool] = {}

    def plan(self) -> Plan | None:
        root = self._checked.expr
        self._visit(root)
        if not self._loops:
            return None
        return Plan(tuple(self._loops), self._part(root), self._node_ids)

    def _visit(self, expr: Any) -> None:
        """Take out every loop below `expr` that is certain to run, the innermost ranges first."""
        match expr.WhichOneof("kind"):
            case "select" if not expr.select.test_only:
                self._visit(expr.select.operand)
            case "call":
                self._visit_call(expr.call)
            case "list":
                self._visit_all(expr.list.elements)
            case "struct":
                for entry in expr.struct.entries:
                    self._visit_all((entry.map_key, entry.value))
            case "comprehension":
                self._visit(expr.comprehension.iter_range)
                if _builds_list(expr.comprehension):
                    self._take_out(expr)

    def _visit_call(self, call: Any) -> None:
        if call.function in _LAZY:
            self._visit_all(call.args[:1] if call.function == "_?_:_" else ())
            return
        if call.HasField("target"):
            self._visit(call.target)
        self._visit_all(call.args)

    def _visit_all(self, exprs: Any) -> None:
        for expr in exprs:
            self._visit(expr)

    def _take_out(self, expr: Any) -> None:
        elements = self._part(expr.comprehension.iter_range)
        copy = syntax.CheckedExpr()
        copy.expr.CopyFrom(expr)
        become_name(copy.expr.comprehension.iter_range, _RANGE)
        body = self._part(copy.expr)
        if not (elements.gives_json and body.gives_json):
            return
        name = f"{_LOOP}{len(self._loops)}"
        self._loops.append(Loop(name, elements, body))
        self._node_ids[expr.id] = body.reads_more
        become_name(expr, name)

    def _part(self, expr: Any) -> Part:
        checked = syntax.CheckedExpr()
        checked.CopyFrom(self._checked)
        checked.expr.CopyFrom(expr)
        envelope = any_pb2.Any(type_url=self._envelope.type_url, value=checked.SerializeToString())
        tree = syntax.to_node(expr)
        is_alias = isinstance(tree, syntax.Ident) and tree.name.startswith(_LOOP)
        program = self._environment.deserialize(envelope.SerializeToString())
        return Part(
            program=program,
            wanted=access.tree(access.accesses(tree)),
            hidden=frozenset(_hidden_names(tree)),
            alias=tree.name if isinstance(tree, syntax.Ident) and is_alias else "",
            reference=access.reference(tree),
            gives_json=gives_json(tree, program.return_type().name()),
        )


def _builds_list(loop: Any) -> bool:
    """Whether a comprehension is what `map` and `filter` become: a list that grows from nothing."""
    step = loop.loop_step.call
    grows = step.args[1].call if step.function == "_?_:_" else step
    is_empty = loop.accu_init.WhichOneof("kind") == "list" and not loop.accu_init.list.elements
    return is_empty and grows.function == "_+_" and loop.result.ident.name == loop.accu_var


def gives_json(tree: syntax.Node, result_type: str) -> bool:
    """Whether the value is certain to survive the way through Python unchanged.

    By the type; where that leaves anything open, nothing in the tree may make other values."""
    if not set(re.findall(r"\w+", result_type)) <= _JSON_TYPES:
        return False
    return "DYN" not in result_type or not any(map(_may_make_other_values, syntax.walk(tree)))


def _may_make_other_values(node: syntax.Node) -> bool:
    match node:
        case syntax.Literal():
            return not node.is_json
        case syntax.Call():
            return node.function in _OTHER_VALUES or node.function.startswith("optional")
        case _:
            return False


def become_name(expr: Any, name: str) -> None:
    """Put a name in the place of an expression."""
    expr.ClearField(expr.WhichOneof("kind"))
    expr.id = _NO_NODE  # else the library takes the name for what the node was
    expr.ident.name = name


def become_call(expr: Any, function: str) -> None:
    """Put a call without arguments in the place of an expression."""
    expr.ClearField(expr.WhichOneof("kind"))
    expr.id = _NO_NODE
    expr.call.function = function


def _hidden_names(tree: syntax.Node) -> set[str]:
    idents = (node.name for node in syntax.walk(tree) if isinstance(node, syntax.Ident))
    return {name for name in idents if name.startswith(_LOOP)}
