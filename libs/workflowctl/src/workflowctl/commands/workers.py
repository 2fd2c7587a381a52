"""The command `workers`, which shows the connected workers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text
from workflow_sdk.connected_workers import ConnectedWorker

from workflowctl.commands.reading import MAX_LISTED, PANEL
from workflowctl.presentation.json_output import as_data, write_document
from workflowctl.presentation.worker_pages import worker_page, workers_table
from workflowctl.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    command(app, "workers", rich_help_panel=PANEL)(workers)


async def workers(
    session: Session,
    worker_id: Annotated[
        str, typer.Argument(metavar="WORKER", help="Only workers of this name, with all details.")
    ] = "",
    task_type: Annotated[
        str, typer.Option("--type", "-t", help="Only workers that offer this task type.")
    ] = "",
    queue: Annotated[str, typer.Option("--queue", "-q", help="Only workers that serve this queue.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MAX_LISTED, help="Show at most this many.")
    ] = 100,
) -> None:
    """Show the connected workers, and the tasks that they run now."""
    found, more = await _found(session, worker_id, task_type, queue, limit)
    if session.json:
        write_document({"workers": [as_data(worker.message) for worker in found]})
        return
    if not found:
        chosen = worker_id or task_type or queue
        session.out.print(
            Text("no such worker is connected" if chosen else "no worker is connected", style="dim")
        )
    elif worker_id:
        for place, worker in enumerate(found):
            session.out.print(*([Text()] if place else []), worker_page(worker), sep="\n")
    else:
        session.out.print(workers_table(found))
    if more:
        session.hint(f"there are more than {limit}; show more with --limit, or choose with --type or --queue")


async def _found(
    session: Session, worker_id: str, task_type: str, queue: str, limit: int
) -> tuple[list[ConnectedWorker], bool]:
    """Return the workers, sorted by name, and whether there are more than `limit`."""
    found: list[ConnectedWorker] = []
    chosen = session.client.workers(
        worker_id=worker_id, task_type=task_type, queue=queue, page_size=min(limit + 1, 1_000)
    )
    async for worker in chosen:
        if len(found) == limit:
            return _by_name(found), True
        found.append(worker)
    return _by_name(found), False


def _by_name(workers: list[ConnectedWorker]) -> list[ConnectedWorker]:
    return sorted(workers, key=lambda worker: (worker.worker_id, worker.session_id))
