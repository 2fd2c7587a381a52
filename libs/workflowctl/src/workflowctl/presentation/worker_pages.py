"""Show the connected workers: one line for each, or all details about some of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from workflow_sdk.connected_workers import ConnectedWorker, HeldTask

from workflowctl.presentation.consoles import single
from workflowctl.presentation.event_lines import age, date_time, run_name
from workflowctl.presentation.facts import facts
from workflowctl.presentation.plain_table import PlainTable

MAX_NAMES = 3
MAX_NAME_CHARS = 28
MAX_NAMES_CHARS = 44
MAX_FIRM_CHARS = 40


def workers_table(workers: Sequence[ConnectedWorker]) -> Table:
    """Return a table with a row for each connection, in the given order."""
    table = PlainTable()
    longest = max((len(single(worker.worker_id)) for worker in workers), default=0)
    # On a narrow terminal the types are cut first, because a user cannot copy a name that is cut off.
    table.add_column("worker", no_wrap=True, min_width=min(longest, MAX_FIRM_CHARS))
    for column, firm_chars in (("busy", 5), ("runs", 16), ("last message", 13), ("types", None)):
        table.add_column(column, no_wrap=True, min_width=firm_chars)
    table.add_column("queues", no_wrap=True)
    table.add_column("replica", no_wrap=True)
    for worker in workers:
        table.add_row(
            _name(worker),
            _busy(worker),
            _runs(worker),
            age(worker.last_message_time),
            _some(worker.task_types),
            _some(worker.queues),
            Text(worker.replica, style="dim"),
        )
    return table


def worker_page(worker: ConnectedWorker) -> RenderableType:
    """Return all details of one connection of a worker."""
    head = single(_name(worker))
    head.append(f"  {worker.protocol.lower()}", style="dim not bold")
    rows = [
        ("busy", f"{_busy(worker)} slots, asks for {worker.credits} more"),
        ("types", ", ".join(worker.task_types)),
        ("queues", ", ".join(worker.queues)),
        ("namespace", worker.namespace),
        ("labels", ", ".join(f"{key}={value}" for key, value in sorted(worker.labels.items()))),
        ("sdk", worker.sdk),
        ("connected", f"{date_time(worker.connect_time)}  {age(worker.connect_time)}"),
        ("last message", age(worker.last_message_time)),
        ("from", worker.peer),
        ("to", worker.replica),
        ("session", worker.session_id),
        ("as of", age(worker.update_time)),
    ]
    parts: list[RenderableType] = [head, Padding(facts(rows), (0, 2), expand=False)]
    if worker.tasks:
        parts += [Text(), Padding(_tasks_table(worker), (0, 2), expand=False)]
    return Group(*parts)


def _tasks_table(worker: ConnectedWorker) -> Table:
    table = PlainTable()
    for column in ("execution", "workflow", "task", "attempt", "since"):
        table.add_column(column, no_wrap=True)
    for task in worker.tasks:
        attempt = str(task.attempt or "")
        name = run_name(task.task_id, task.item)
        table.add_row(task.execution_id, task.workflow_id, name, attempt, age(task.lease_time))
    left = (worker.busy_slots or 0) - len(worker.tasks)
    if left > 0:
        table.add_row(Text(f"and {left:,} more", style="dim"))
    return table


def _name(worker: ConnectedWorker) -> Text:
    name = single(worker.worker_id)
    name.stylize("bold")
    if worker.draining:
        name.append(" draining", style="magenta not bold")
    return name


def _busy(worker: ConnectedWorker) -> str:
    return f"{'?' if worker.busy_slots is None else worker.busy_slots}/{worker.slots}"


def _runs(worker: ConnectedWorker) -> str:
    """Return the task that the worker holds longest, and how many more it holds."""
    if not worker.tasks:
        return ""
    more = (worker.busy_slots or 0) - 1
    return _task(worker.tasks[0]) + (f" +{more:,}" if more > 0 else "")


def _task(task: HeldTask) -> str:
    return _cut(f"{task.workflow_id or '?'}/{run_name(task.task_id, task.item)}", MAX_NAMES_CHARS)


def _some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown: list[str] = []
    for name in names[:MAX_NAMES]:
        if shown and len(" ".join([*shown, name])) > MAX_NAMES_CHARS:
            break
        shown.append(_cut(name, MAX_NAME_CHARS))
    left = len(names) - len(shown)
    return " ".join(shown) + (f" +{left:,}" if left else "")


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"
