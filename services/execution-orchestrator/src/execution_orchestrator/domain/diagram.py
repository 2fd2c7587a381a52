"""The page docs/state-machine.md, generated from the tables.

`python -m execution_orchestrator.domain.diagram > docs/state-machine.md`
"""

import sys
from collections.abc import Collection, Mapping
from enum import StrEnum

from execution_orchestrator.domain.state_machine import (
    EXECUTION_TRANSITIONS,
    FINAL_EXECUTION_STATUSES,
    FINAL_TASK_STATUSES,
    TASK_TRANSITIONS,
    ExecutionStatus,
    TaskStatus,
)

_PAGE = """\
# The state machines

Generated from the tables of `execution_orchestrator/domain/state_machine.py`; edit those, then run `python
-m execution_orchestrator.domain.diagram > docs/state-machine.md`. If a step has no row, it cannot happen.

## Executions

{execution_diagram}

{execution_table}

## Task runs

A task, or one item of a fan-out.

{task_diagram}

{task_table}
"""

_Rows = Mapping[tuple[StrEnum, StrEnum], StrEnum]


def page() -> str:
    """Return the whole page, as Markdown."""
    executions: _Rows = {(status, on): after for (status, on), after in EXECUTION_TRANSITIONS.items()}
    tasks: _Rows = {(status, on): after for (status, on), after in TASK_TRANSITIONS.items()}
    return _PAGE.format(
        execution_diagram=_diagram(ExecutionStatus.PENDING, executions, FINAL_EXECUTION_STATUSES),
        execution_table=_table(executions),
        task_diagram=_diagram(TaskStatus.BLOCKED, tasks, FINAL_TASK_STATUSES),
        task_table=_table(tasks),
    )


def _diagram(first: StrEnum, rows: _Rows, final: Collection[StrEnum]) -> str:
    """Return a Mermaid state diagram: one arrow for each pair of statuses."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    arrows: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for (before, trigger), after in rows.items():
        arrows.setdefault((before, after), []).append(trigger.name)
    lines += [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in arrows.items()]
    lines += [f"    {status} --> [*]" for status in sorted(final)]
    return "\n".join([*lines, "```"])


def _table(rows: _Rows) -> str:
    lines = ["| from | to | trigger | when |", "|---|---|---|---|"]
    lines += [
        f"| {before} | {after} | {trigger.name} | {trigger} |" for (before, trigger), after in rows.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
