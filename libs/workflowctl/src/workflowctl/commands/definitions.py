"""Commands that read definitions: versions, graph, export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from workflow_contract.messages import as_json
from workflow_sdk.statuses import enum_word
from workflowsystem.catalog.v1 import workflow_pb2

from workflowctl import canonical_yaml
from workflowctl.bounds import MAX_VERSION
from workflowctl.commands.lifecycle import IdArgument
from workflowctl.definition_file import ID_KEY, inspect, is_file
from workflowctl.errors import CommandError
from workflowctl.presentation.consoles import print_line
from workflowctl.presentation.graph_export import dot, mermaid
from workflowctl.presentation.graph_tasks import CycleError, GraphTask, graph_tasks, layers
from workflowctl.presentation.graph_terminal import graph_lines
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.tables import versions_table
from workflowctl.safe_text import json_text
from workflowctl.session import Session, command
from workflowctl.streams import OutputError, file_name, write_utf8

PANEL = "Looking"
VersionOption = Annotated[
    int | None,
    typer.Option(
        "--version", min=0, max=MAX_VERSION, help="The version. 0: the active version. Unset: the draft."
    ),
]


class GraphFormat(StrEnum):
    """The form in which a graph is drawn."""

    TERMINAL = "terminal"
    MERMAID = "mermaid"
    DOT = "dot"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    command(app, "versions", rich_help_panel=PANEL)(versions)
    command(app, "graph", rich_help_panel=PANEL)(graph)
    command(app, "export", rich_help_panel=PANEL)(export)


async def versions(
    session: Session,
    workflow_id: IdArgument,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Show at most this many.")] = 50,
) -> None:
    """List the published versions of a workflow, the newest first, and mark the active version."""
    workflow = (await session.client.get_workflow(workflow_id)).message
    found = []
    async for version in session.client.list_workflow_versions(workflow_id, page_size=min(limit, 1_000)):
        found.append(version.message)
        if len(found) == limit:
            break
    if session.json:
        rows = [as_data(version) for version in found]
        write_document({"active_version": workflow.active_version, "versions": rows})
    elif found:
        status = enum_word(workflow_pb2.WorkflowStatus, workflow.status)
        session.out.print(versions_table(found, workflow.active_version, status))
    else:
        session.hint(f"it was never published; next: workflowctl publish {workflow_id} --dry-run")


async def graph(
    session: Session,
    target: Annotated[str, typer.Argument(metavar="FILE|ID", help="A workflow's file, or its id.")],
    version: VersionOption = None,
    form: Annotated[
        GraphFormat,
        typer.Option("--format", "-f", help="The form: terminal, mermaid for Markdown, or dot for Graphviz."),
    ] = GraphFormat.TERMINAL,
) -> None:
    """Draw the tasks of a FILE, of a draft or of a version, with the tasks that each one needs.

    A horizontal line belongs to the dot at its end. A lane that is drawn through the line does not join it.
    """
    if is_file(target):
        if version is not None:
            raise CommandError("--version needs an ID: a FILE has no versions")
        file = inspect(target, target)
        title, definition = file.source.name, file.definition
        if file.problems:
            session.hint(f"it has problems, so the drawing may be incomplete: workflowctl validate {target}")
    else:
        title, definition = target, await definition_of(session, target, version)
        title += "  draft" if version is None else f"  version {version}" if version else "  active version"
    tasks = graph_tasks(definition)
    try:
        _draw(session, title, tasks, form)
    except CycleError as error:
        raise CommandError(
            f"it cannot be drawn: these tasks need each other in a circle: {' → '.join(error.ids)}",
            next_step="remove one of these `needs`",
        ) from None


def _draw(session: Session, title: str, tasks: Sequence[GraphTask], form: GraphFormat) -> None:
    if session.json:
        rows = [
            {"id": task.id, "type": task.type, "needs": task.needs, "layer": depth}
            for depth, layer in enumerate(layers(tasks))
            for task in layer
        ]
        write_document({"tasks": rows})
    elif form is GraphFormat.MERMAID:
        write_utf8(mermaid(title, tasks))
    elif form is GraphFormat.DOT:
        write_utf8(dot(title, tasks))
    else:
        for line in graph_lines(title, tasks, session.out):
            print_line(session.out, line)


async def export(
    session: Session,
    workflow_id: IdArgument,
    version: VersionOption = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file to write; - is standard output.")
    ] = "-",
) -> None:
    """Write a workflow's draft, or a version, as a file that `publish` reads: YAML, or JSON with --json."""
    definition = await definition_of(session, workflow_id, version)
    if session.json:
        data = as_json(definition)
        text = json_text({ID_KEY: workflow_id, **data}, indent=2) + "\n"
    else:
        text = canonical_yaml.dump(workflow_id, definition)
    if output == "-":
        write_utf8(text)
    else:
        _write(output, text)
        session.hint(f"written to {output}")


def _write(name: str, text: str) -> None:
    try:
        with Path(os.fsdecode(file_name(name))).open("wb") as file:
            file.write(text.encode())
    except OSError as error:
        raise OutputError(error, name) from None
    except ValueError:  # a NUL in the name
        raise CommandError(f"{name!r} is not a valid file name") from None


async def definition_of(session: Session, workflow_id: str, version: int | None) -> Any:
    """Return the definition of a version, or of the draft if `version` is None. Raise NotFoundError."""
    if version is None:
        return (await session.client.get_workflow(workflow_id)).definition
    return (await session.client.get_workflow_version(workflow_id, version)).definition
