"""The syntax tree of a compiled expression.

The CEL library checks an expression and can serialize the result as `cel.expr.CheckedExpr`, a published
protobuf message (cel-spec, `checked.proto` and `syntax.proto`). This message is the only way to find the
names that an expression uses. This module declares only the fields that it reads; protobuf skips the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_INT64: Final = _Field.TYPE_INT64
_BOOL: Final = _Field.TYPE_BOOL
_STRING: Final = _Field.TYPE_STRING
_UINT64: Final = _Field.TYPE_UINT64
_BYTES: Final = _Field.TYPE_BYTES


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `value` is set only for strings and whole numbers, which can be keys and indexes."""

    value: str | int | None
    is_json: bool
    """False for CEL's unsigned numbers and bytes, which JSON does not have."""


@dataclass(frozen=True, slots=True)
class Ident:
    """A name. A leading dot means the outermost scope, even if a loop has a variable of that name."""

    name: str
    node_id: int = 0


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` if `test_only` is True."""

    operand: Node
    field: str
    test_only: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function, a method or an operator such as `_+_`; the target of a method is the first argument."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, `[a, b]`."""

    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map, `{key: value}`. `parts` has its keys and values; `message` is the type's name in `Type{...}`."""

    parts: tuple[Node, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A loop. CEL compiles `map`, `filter`, `all`, `exists` and similar macros to it."""

    variables: frozenset[str]
    accumulator: str
    node_id: int
    range: Node
    initial: Node
    condition: Node
    step: Node
    result: Node


Node = Literal | Ident | Select | Call | ListOf | MapOf | Comprehension


@dataclass(frozen=True, slots=True)
class Syntax:
    """The tree of an expression, all its nodes, and their positions in its text."""

    tree: Node
    nodes: tuple[Node, ...]
    positions: Mapping[int, int]
    """Offsets in characters, by node id."""


def parse_checked(serialized: bytes) -> Syntax:
    """Return the tree of a compiled expression. `serialized` is the result of the library's `serialize()`."""
    checked = CheckedExpr.FromString(any_pb2.Any.FromString(serialized).value)
    tree = to_node(checked.expr)
    positions = {each.key: each.value for each in checked.source_info.positions}
    return Syntax(tree, tuple(walk(tree)), positions)


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct children of a node."""
    match node:
        case Select(operand=operand):
            return (operand,)
        case Call(arguments=arguments):
            return arguments
        case ListOf(elements=elements):
            return elements
        case MapOf(parts=parts):
            return parts
        case Comprehension():
            return (node.range, node.initial, node.condition, node.step, node.result)
        case Literal() | Ident():
            return ()


def walk(tree: Node) -> Iterator[Node]:
    """Yield every node of a tree."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(children(node))


def to_node(expr: Any) -> Node:
    """Return the tree of a protobuf message `Expr`."""
    match expr.WhichOneof("kind"):
        case "const":
            return _constant(expr.const)
        case "ident":
            return Ident(expr.ident.name, expr.id)
        case "select":
            return Select(to_node(expr.select.operand), expr.select.field, expr.select.test_only)
        case "call":
            target = (to_node(expr.call.target),) if expr.call.HasField("target") else ()
            return Call(expr.call.function, target + tuple(to_node(each) for each in expr.call.args))
        case "list":
            return ListOf(tuple(to_node(each) for each in expr.list.elements))
        case "struct":
            return _map(expr.struct)
        case "comprehension":
            return _comprehension(expr.comprehension, expr.id)
        case _:
            return Literal(None, is_json=True)


def _constant(const: Any) -> Literal:
    match const.WhichOneof("kind"):
        case "string":
            return Literal(str(const.string), is_json=True)
        case "int64":
            return Literal(int(const.int64), is_json=True)
        case kind:
            return Literal(None, is_json=kind not in ("uint64", "bytes"))


def _map(struct: Any) -> MapOf:
    parts: list[Node] = []
    for entry in struct.entries:
        if entry.HasField("map_key"):
            parts.append(to_node(entry.map_key))
        parts.append(to_node(entry.value))
    return MapOf(tuple(parts), struct.message_name)


def _comprehension(loop: Any, node_id: int) -> Comprehension:
    return Comprehension(
        variables=frozenset(name for name in (loop.iter_var, loop.iter_var2) if name),
        accumulator=loop.accu_var,
        node_id=node_id,
        range=to_node(loop.iter_range),
        initial=to_node(loop.accu_init),
        condition=to_node(loop.loop_condition),
        step=to_node(loop.loop_step),
        result=to_node(loop.result),
    )


_FieldSpec = tuple[str, int, int | str]
"""Name, number, and a scalar type or the name of a message. `*` before the name marks a repeated field."""

_MESSAGES: Final[dict[str, tuple[_FieldSpec, ...]]] = {
    "Constant": (
        ("int64", 3, _INT64),
        ("uint64", 4, _UINT64),
        ("string", 6, _STRING),
        ("bytes", 7, _BYTES),
    ),
    "Ident": (("name", 1, _STRING),),
    "Select": (("operand", 1, "Expr"), ("field", 2, _STRING), ("test_only", 3, _BOOL)),
    "Call": (("target", 1, "Expr"), ("function", 2, _STRING), ("*args", 3, "Expr")),
    "CreateList": (("*elements", 1, "Expr"),),
    "Entry": (("map_key", 3, "Expr"), ("value", 4, "Expr")),
    "CreateStruct": (("message_name", 1, _STRING), ("*entries", 2, "Entry")),
    "Comprehension": (
        ("iter_var", 1, _STRING),
        ("iter_range", 2, "Expr"),
        ("accu_var", 3, _STRING),
        ("accu_init", 4, "Expr"),
        ("loop_condition", 5, "Expr"),
        ("loop_step", 6, "Expr"),
        ("result", 7, "Expr"),
        ("iter_var2", 8, _STRING),
    ),
    "Expr": (
        ("id", 2, _INT64),
        ("const", 3, "Constant"),
        ("ident", 4, "Ident"),
        ("select", 5, "Select"),
        ("call", 6, "Call"),
        ("list", 7, "CreateList"),
        ("struct", 8, "CreateStruct"),
        ("comprehension", 9, "Comprehension"),
    ),
    "Position": (("key", 1, _INT64), ("value", 2, _INT64)),
    "SourceInfo": (("*positions", 4, "Position"),),
    "CheckedExpr": (("expr", 4, "Expr"), ("source_info", 5, "SourceInfo")),
}

_ONEOFS: Final = frozenset({"Constant", "Expr"})
"""The messages in which exactly one field is set, in addition to the id."""


def _declare() -> Any:
    package = "workflow_expressions.cel"
    file = descriptor_pb2.FileDescriptorProto(
        name="workflow_expressions/cel.proto", package=package, syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        if message_name in _ONEOFS:
            message.oneof_decl.add(name="kind")
        for name, number, kind in fields:
            declared = message.field.add(name=name.lstrip("*"), number=number)
            declared.label = _Field.LABEL_REPEATED if name.startswith("*") else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                declared.type, declared.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                declared.type = kind  # type: ignore[assignment]
            if message_name in _ONEOFS and name != "id":
                declared.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.CheckedExpr"))


CheckedExpr: Final = _declare()
"""The class of the message `cel.expr.CheckedExpr`."""
