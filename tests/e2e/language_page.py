"""Reads docs/language.md: each YAML block is a workflow, and the blocks below it say what becomes of it.

| block | what it says |
|---|---|
| `yaml` | a file; a later one with the same `workflow_id` is its next version |
| `json input`, `json output` | a start with this input gives this output |
| `json failure` | it fails so; members that are not shown are not compared |
| `text problems` | what publish finds: `path: sentence`, warnings marked; with an error there is no version |
| `text changes` | what differs from the version before: `CLASS path`, and why it is MAJOR |

A line of text that ends in `…` shows the beginning only.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "language.md"
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(slots=True)
class Run:
    """A start, and how it ends."""

    input: dict[str, Any] = field(default_factory=dict)
    ending: dict[str, Any] = field(default_factory=dict)
    """`output` or `failure`, with what it must be."""


@dataclass(slots=True)
class Example:
    """A YAML block with the blocks that follow it."""

    line: int
    yaml: str
    runs: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def workflow_id(self) -> str:
        """As the block says it."""
        found = re.search(r"^workflow_id: (\S+)$", self.yaml, re.MULTILINE)
        assert found is not None, f"docs/language.md:{self.line}: a workflow needs its workflow_id"
        return found[1]


def by_workflow(text: str) -> dict[str, list[Example]]:
    """The versions of each workflow of the page, in its order."""
    found: dict[str, list[Example]] = {}
    for example in examples(text):
        found.setdefault(example.workflow_id, []).append(example)
    return found


def shown(lines: list[str], page: list[str]) -> list[str]:
    """The lines as the page shows them: cut where it cuts them."""
    cut = [
        ours if ours.endswith("…") and line.startswith(ours.removesuffix("…")) else line
        for line, ours in zip(lines, page, strict=False)
    ]
    return cut + lines[len(page) :]


def examples(text: str) -> list[Example]:
    """Every example of the page, in its order."""
    found: list[Example] = []
    for block in _FENCE.finditer(text):
        info, body = block["info"], block["text"]
        if info == "yaml":
            found.append(Example(text.count("\n", 0, block.start()) + 2, body))
        elif info.startswith(("json ", "text ")):
            _add(found[-1], info, body)
    return found


def _add(example: Example, info: str, body: str) -> None:
    match info:
        case "json input":
            example.runs.append(Run(json.loads(body)))
        case "json output" | "json failure":
            if not example.runs or example.runs[-1].ending:
                example.runs.append(Run())
            example.runs[-1].ending[info.removeprefix("json ")] = json.loads(body)
        case "text problems":
            example.problems += body.splitlines()
        case "text changes":
            example.changes += body.splitlines()
        case _:
            raise AssertionError(f"docs/language.md has a block `{info}`, which means nothing to the test")
