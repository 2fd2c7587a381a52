"""Run loops over long lists in parts.

The CEL library copies the result of `map` and `filter` at every step: 10,000 elements took 5 seconds. In
parts of 64 elements they take 20 ms. So if such a loop is certain to run, this module takes it out of the
expression. It evaluates the loop's range first, then the loop's body on one part of the range after another.
The rest of the expression finds the resulting list under a name that no author can write. This happens only
if the list is long, and the result is the same.
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
"""The smallest number of elements in one part. A list with more elements counts as long."""

_RANGE: Final = "@range"
_LOOP: Final = "@loop"
_LAZY: Final = frozenset(("_&&_", "_||_", "_?_:_", "@not_strictly_false"))
"""Functions that do not evaluate all of their arguments."""

_JSON_TYPES: Final = frozenset(("NULL", "BOOL", "INT", "DOUBLE", "STRING", "LIST", "MAP", "DYN"))
_OTHER_VALUES: Final = frozenset(("uint", "bytes", "duration", "timestamp", "type", "_?._", "_[?_]"))
"""Functions whose values change, or cannot be passed, if they go from CEL to Python and back."""

_NO_NODE: Final = 1 << 40

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an expression, compiled as a separate program."""

    program: Any
    wanted: access.Tree
    hidden: frozenset[str]
    """Names of the loops whose results the part uses."""
    alias: str
    """The name of a loop if the part is only the result of that loop, else ""."""
    reference: access.Access | None
    """The path if the part is only a path, else None."""
    gives_json: bool
    """True if the part's value certainly stays the same when it goes from CEL to Python and back."""

    @property
    def reads_more(self) -> bool:
        """True if the part reads anything that must be bound."""
        return bool(self.wanted or self.hidden)

    def run(self, values: Values, known: Values) -> Any:
        """Return the part's value on the bound values and the results of earlier loops."""
        if self.alias:
            return known[self.alias]
        if self.reference is not None:
            return access.follow(self.reference, values)
        return programs.run(self.program, self.data(values, known))

    def data(self, values: Values, known: Values) -> dict[str, Any]:
        """Return the variables that the part uses, with their values."""
        data: dict[str, Any] = access.prune(values, self.wanted)
        data.update((name, known[name]) for name in self.hidden)
        return data


@dataclass(frozen=True, slots=True)
class Loop:
    """A `map` or `filter` that was taken out of its expression."""

    name: str
    range: Part
    body: Part

    def run(self, values: Values, known: Values, size: int) -> Any:
        """Return the list that the loop builds."""
        elements = self.range.run(values, known)
        data = self.body.data(values, known)
        if not isinstance(elements, list):  # CEL loops over the keys of an object, and reports a mistake
            return programs.run(self.body.program, {**data, _RANGE: elements})
        length = part_length(size if self.body.reads_more else 0)
        result: list[Any] = []
        for start in range(0, len(elements), length):
            data[_RANGE] = elements[start : start + length]
            result += programs.run(self.body.program, data)
        return result


@dataclass(frozen=True, slots=True)
class Plan:
    """An expression without its loops, and these loops in the order in which they run."""

    loops: tuple[Loop, ...]
    rest: Part
    node_ids: Mapping[int, bool]
    """The loops that were taken out, by node id; True if the body reads more than its range."""

    def run(self, values: Values, size: int) -> Any:
        """Return the result for values of `size` bytes of JSON. Raise EvaluationError if a part fails."""
        known: dict[str, Any] = {}
        for loop in self.loops:
            known[loop.name] = loop.run(values, known, size)
        return self.rest.run(values, known)


def part_length(size: int) -> int:
    """Return the number of elements in one part, if each part has to bind up to `size` bytes of values."""
    return max(MIN_PART, math.isqrt(size))


def plan(environment: Any, serialized: bytes) -> Plan | None:
    """Take the loops out of a compiled expression. Return None if no loop can be taken out.

    `serialized` is the result of the library's `serialize()`.
    """
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
        """Take out every loop below `expr` that is certain to run. Start with the innermost ranges."""
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
    """Return whether a comprehension comes from `map` or `filter`: it starts from [] and appends."""
    step = loop.loop_step.call
    grows = step.args[1].call if step.function == "_?_:_" else step
    is_empty = loop.accu_init.WhichOneof("kind") == "list" and not loop.accu_init.list.elements
    return is_empty and grows.function == "_+_" and loop.result.ident.name == loop.accu_var


def gives_json(tree: syntax.Node, result_type: str) -> bool:
    """Return whether the value certainly stays the same when it goes from CEL to Python and back.

    The type must allow only JSON values. If the type is not fully known, no node of the tree may create a
    value of another type.
    """
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
    """Replace an expression, in place, by a name."""
    expr.ClearField(expr.WhichOneof("kind"))
    expr.id = _NO_NODE  # with the old id, the library would use what it knows about the old node
    expr.ident.name = name


def become_call(expr: Any, function: str) -> None:
    """Replace an expression, in place, by a call without arguments."""
    expr.ClearField(expr.WhichOneof("kind"))
    expr.id = _NO_NODE
    expr.call.function = function


def _hidden_names(tree: syntax.Node) -> set[str]:
    idents = (node.name for node in syntax.walk(tree) if isinstance(node, syntax.Ident))
    return {name for name in idents if name.startswith(_LOOP)}
