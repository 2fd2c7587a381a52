"""Commands that read definitions: versions, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from workflow.catalog.v1 import workflow_pb2
from workflow_sdk.models import enum_word

from workflowctl import canonical_yaml
from workflowctl.commands.lifecycle import IdArgument
from workflowctl.definition_file import ID_KEY
from workflowctl.errors import CommandError
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.tables import versions_table
from workflowctl.session import Session, command

PANEL = "Looking"
VersionOption = Annotated[
    int | None,
    typer.Option("--version", min=0, help="This version, 0 for the active one; without it the draft."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "versions", rich_help_panel=PANEL)(versions)
    command(app, "export", rich_help_panel=PANEL)(export)


async def versions(
    session: Session,
    workflow_id: IdArgument,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
) -> None:
    """List the published versions of a workflow, the newest first; the active one is marked."""
    workflow = await session.client.get_workflow(workflow_id)
    found = []
    async for version in session.client.list_workflow_versions(workflow_id, page_size=min(limit, 1_000)):
        found.append(version)
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


async def export(
    session: Session,
    workflow_id: IdArgument,
    version: VersionOption = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write to this file; - is standard output.")
    ] = "-",
) -> None:
    """Write a workflow's draft, or a version, as a file that `publish` reads: YAML, or JSON with --json."""
    definition = await definition_of(session, workflow_id, version)
    if session.json:
        data = json_format.MessageToDict(definition, preserving_proto_field_name=True)
        text = json.dumps({ID_KEY: workflow_id, **data}, indent=2, ensure_ascii=False) + "\n"
    else:
        text = canonical_yaml.dump(workflow_id, definition)
    if output == "-":
        typer.echo(text, nl=False)
    else:
        _write(output, text)
        session.hint(f"written to {output}")


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}") from None


async def definition_of(session: Session, workflow_id: str, version: int | None) -> Any:
    """The definition of a version, or the draft for None. Raises NotFoundError."""
    if version is None:
        return (await session.client.get_workflow(workflow_id)).definition
    return (await session.client.get_workflow_version(workflow_id, version)).definition
