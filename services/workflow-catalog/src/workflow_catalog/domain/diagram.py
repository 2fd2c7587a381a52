"""Generate the page docs/workflow-status.md from the tables.

`python -m workflow_catalog.domain.diagram > docs/workflow-status.md`
"""

import sys

from workflow_catalog.domain.workflow import (
    REMOVALS,
    REPEATS,
    TRANSITIONS,
    Method,
    WorkflowStatus,
    refusal_advice,
)

_PAGE = """\
# The life of a workflow

Generated from the tables of `workflow_catalog/domain/workflow.py`; edit those, then run
`python -m workflow_catalog.domain.diagram > docs/workflow-status.md`. If a table has no row for a call,
the catalog refuses the call and changes nothing.

{diagram}

| status | {methods} |
|---|{dashes}|
{rows}

A refused call fails with `FAILED_PRECONDITION` and the reason `WORKFLOW_STATUS_CONFLICT`. Its message says
what to do:

| status | method | next step |
|---|---|---|
{refusals}

A start of a workflow that is not ACTIVE fails with `FAILED_PRECONDITION` and the reason
`WORKFLOW_NOT_ACTIVE`. After the reply of DeactivateWorkflow, no orchestrator accepts a start any more.
Executions that were accepted before continue.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    methods = list(Method)
    return _PAGE.format(
        diagram=_diagram(),
        methods=" | ".join(methods),
        dashes="|".join("---" for _ in methods),
        rows="\n".join(_row(status, methods) for status in WorkflowStatus),
        refusals="\n".join(_refusals(methods)),
    )


def _diagram() -> str:
    """Return a Mermaid state diagram with one arrow for each pair of statuses."""
    arrows: dict[tuple[WorkflowStatus, WorkflowStatus], list[str]] = {}
    for (before, method), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(method)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {WorkflowStatus.DRAFT}: CreateWorkflow"]
    lines += [f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in arrows.items()]
    lines += [f"    {status} --> [*]: {method}" for status, method in sorted(REMOVALS)]
    lines += [f"    {WorkflowStatus.ARCHIVED} --> [*]", "```"]
    return "\n".join(lines)


def _row(status: WorkflowStatus, methods: list[Method]) -> str:
    return f"| {status} | {' | '.join(_outcome(status, method) for method in methods)} |"


def _outcome(status: WorkflowStatus, method: Method) -> str:
    if (status, method) in REPEATS:
        return "no-op"
    if (status, method) in REMOVALS:
        return "gone"
    return TRANSITIONS.get((status, method), "refused")


def _refusals(methods: list[Method]) -> list[str]:
    return [
        f"| {status} | {method} | {refusal_advice(status, method)} |"
        for status in WorkflowStatus
        for method in methods
        if _outcome(status, method) == "refused"
    ]


if __name__ == "__main__":
    sys.stdout.write(page())
