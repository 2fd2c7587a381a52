"""Export a graph to other programs: Mermaid for Markdown pages, DOT for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workflowctl.presentation.graph_tasks import GraphTask

MAX_LABEL_CHARS = 80
# The shapes of a task that runs once, on a condition, and once per item.
_MERMAID_SHAPES = {"plain": ('["', '"]'), "when": ('{{"', '"}}'), "fan_out": ('[["', '"]]')}
_DOT_SHAPES = {"plain": "box", "when": "hexagon", "fan_out": "box3d"}


def mermaid(title: str, tasks: Sequence[GraphTask]) -> str:
    """Return a Mermaid flowchart. Labels are escaped, so that no text of a definition becomes syntax."""
    lines = ["---", f"title: {_yaml_text(title)}", "---", "flowchart TD"]
    for number, task in enumerate(tasks):
        opening, closing = _MERMAID_SHAPES[_shape(task)]
        label = "<br/>".join(_mermaid_text(line) for line in _label(task))
        lines.append(f"    n{number}{opening}{label}{closing}")
    lines += [f"    n{source} --> n{target}" for source, target in _edges(tasks)]
    return "\n".join(lines) + "\n"


def dot(title: str, tasks: Sequence[GraphTask]) -> str:
    """Return a Graphviz digraph, with labels escaped in the same way."""
    lines = [f"digraph {_dot_text([title])} {{", "    rankdir=TB;", '    node [fontname="sans-serif"];']
    for number, task in enumerate(tasks):
        lines.append(f"    n{number} [label={_dot_text(_label(task))}, shape={_DOT_SHAPES[_shape(task)]}];")
    lines += [f"    n{source} -> n{target};" for source, target in _edges(tasks)]
    return "\n".join([*lines, "}"]) + "\n"


def _shape(task: GraphTask) -> str:
    return "fan_out" if task.fan_out else "when" if task.when else "plain"


def _label(task: GraphTask) -> Iterator[str]:
    """Return the lines of a node's label."""
    yield task.id
    yield task.type
    if task.fan_out:
        yield f"{task.fan_out} {task.items}".strip()
    if task.when:
        yield f"when {task.when}"
    if task.child:
        yield f"runs {task.child}"


def _edges(tasks: Sequence[GraphTask]) -> Iterator[tuple[int, int]]:
    numbers = {task.id: number for number, task in enumerate(tasks)}
    for number, task in enumerate(tasks):
        for need in task.needs:
            yield numbers[need], number


def _one_line(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_LABEL_CHARS else text[: MAX_LABEL_CHARS - 1] + "…"


def _mermaid_text(text: str) -> str:
    """Escape everything except letters, digits and harmless signs as `#code;`:

    Mermaid has no other escape.
    """
    return "".join(c if c.isalnum() or c in " _.-,…×" else f"#{ord(c)};" for c in _one_line(text))


def _dot_text(lines: Sequence[str] | Iterator[str]) -> str:
    escaped = (_one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _yaml_text(text: str) -> str:
    return "'" + _one_line(text).replace("'", "''") + "'"
