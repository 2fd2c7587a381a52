"""Find the values that an expression reads: `input.user.name`, `tasks.fetch.output`, ..."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workflow_expressions import messages
from workflow_expressions.errors import EvaluationError
from workflow_expressions.scope import ROOTS, Names
from workflow_expressions.syntax import Call, Comprehension, Ident, Literal, Node, Select, children

_INDEX = "_[_]"
_OPTIONAL = ("_?._", "_[?_]")

Tree = dict[str, "Tree | None"]
"""The keys to keep at each level; None keeps the whole value."""


@dataclass(frozen=True, slots=True)
class Access:
    """A path from one of the roots, up to the first key that is computed."""

    root: str
    path: tuple[str | int, ...]
    plain: bool
    """True if it is only a path, without `has()` around it and without `.?` in it."""
    node_id: int = 0
    """Id of the node of the root's name in the syntax tree."""


def reference(node: Node) -> Access | None:
    """Return the path if the whole expression is one plain path, else None."""
    access = _chain(node, frozenset())
    return access if access is not None and access.plain else None


def accesses(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[Access]:
    """Yield every path from a root in the tree. `bound` has the variable names of the loops around it."""
    access = _chain(node, bound)
    if access is not None:
        yield access
    elif isinstance(node, Comprehension):
        inner = bound | node.variables | {node.accumulator}
        for outside in (node.range, node.initial):
            yield from accesses(outside, bound)
        for inside in (node.condition, node.step):
            yield from accesses(inside, inner)
        yield from accesses(node.result, bound | {node.accumulator})
    else:
        for child in children(node):
            yield from accesses(child, bound)


def names(found: Iterable[Access]) -> Names:
    """Return the names that must be bound for these accesses."""
    roots: set[str] = set()
    tasks: dict[str, set[str]] = {"output": set(), "status": set()}
    for access in found:
        roots.add(access.root)
        if access.root == "tasks" and len(access.path) > 1:
            tasks[str(access.path[1])].add(str(access.path[0]))
    return Names(
        input="input" in roots,
        execution="execution" in roots,
        item="item" in roots,
        index="index" in roots,
        outputs=frozenset(tasks["output"]),
        statuses=frozenset(tasks["status"]),
    )


def tree(found: Iterable[Access]) -> Tree:
    """Return the smallest tree of bindings that has everything these accesses read."""
    whole: Tree = {}
    for access in found:
        keys: list[str] = [access.root]
        for key in access.path:
            if not isinstance(key, str):
                break
            keys.append(key)
        _graft(whole, keys)
    return whole


def prune(values: Any, wanted: Tree | None) -> Any:
    """Return `values` without the keys that nothing reads. Converting bound values for CEL takes time."""
    if wanted is None or not isinstance(values, Mapping):
        return values
    return {key: prune(values[key], below) for key, below in wanted.items() if key in values}


def _graft(branch: Tree, keys: list[str]) -> None:
    for key in keys[:-1]:
        below = branch.setdefault(key, {})
        if below is None:
            return
        branch = below
    branch[keys[-1]] = None


def _chain(node: Node, bound: frozenset[str]) -> Access | None:
    match node:
        case Ident(name=name, node_id=node_id):
            root = name.removeprefix(".")
            is_root = root in ROOTS and (name.startswith(".") or root not in bound)
            return Access(root, (), True, node_id) if is_root else None
        case Select(operand=operand, field=field, test_only=test_only):
            return _longer(_chain(operand, bound), field, plain=not test_only)
        case Call(function=function, arguments=(operand, Literal(value=str() | int() as key))):
            if function == _INDEX or function in _OPTIONAL:
                return _longer(_chain(operand, bound), key, plain=function == _INDEX)
    return None


def _longer(access: Access | None, key: str | int, *, plain: bool) -> Access | None:
    if access is None:
        return None
    return Access(access.root, (*access.path, key), access.plain and plain, access.node_id)


def follow(path: Access, values: Mapping[str, Any]) -> Any:
    """Return the value at a plain path without CEL. Most expressions of a workflow are plain paths.

    Raise EvaluationError, with the same sentence as if CEL had evaluated the path.
    """
    if path.root not in values:
        raise EvaluationError(messages.not_bound(path.root))
    value: Any = values[path.root]
    for key in path.path:
        problem = _step_problem(value, key)
        if problem:
            raise EvaluationError(messages.evaluation_problem(problem))
        value = value[key]
    return value


def _step_problem(value: Any, key: str | int) -> str:
    """Return CEL's error message for `value[key]`, or "" if it works."""
    if isinstance(value, Mapping):
        return "" if key in value else f'Key not found in map : "{key}"'
    if isinstance(value, list) and isinstance(key, int):
        return "" if 0 <= key < len(value) else f"Index error: index={key} size={len(value)}"
    return "Applying SELECT"
