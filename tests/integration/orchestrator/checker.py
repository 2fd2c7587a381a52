"""What must hold of every execution in the database, at any moment, whatever a test did to it.

The rows of one execution are read in one snapshot, so the check may run while the orchestrator works.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

import asyncpg
from execution_orchestrator.domain.events import FINAL_EVENT_TYPES, EventType
from execution_orchestrator.domain.state_machine import (
    EXECUTION_TRANSITIONS,
    FINAL_EXECUTION_STATUSES,
    FINAL_TASK_STATUSES,
    ExecutionStatus,
    TaskStatus,
)
from execution_orchestrator.domain.task import NO_ITEM

EDGES = {(before, after) for (before, _), after in EXECUTION_TRANSITIONS.items()}
ORPHANED_CLAIMS = """
SELECT execution_id, task_id, item, epoch, boot_id FROM task_runs t
WHERE status = 'RUNNING' AND boot_id IS NOT NULL AND (
    claim_token IS NULL OR close_time IS NULL
    OR wake_time IS DISTINCT FROM least(wake_time, close_time, silence_time)
    OR (lease_expire_time IS NULL AND NOT EXISTS (
        SELECT FROM worker_boots b WHERE b.namespace = t.namespace AND b.boot_id = t.boot_id)))
"""
"""Claims that no lease covers, or that no timer looks at."""

Rows = list[Any]


async def check_everything(pool: asyncpg.Pool) -> int:
    """Raises AssertionError with every broken rule; returns how many executions there are."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        executions = await connection.fetch("SELECT * FROM executions")
        events = _grouped(await connection.fetch("SELECT * FROM execution_events ORDER BY sequence"))
        tasks = _grouped(await connection.fetch("SELECT * FROM task_runs"))
        attempts = _grouped(await connection.fetch("SELECT * FROM attempts"))
        orphans = await connection.fetch(ORPHANED_CLAIMS)
    problems = [f"{row['execution_id']}: nobody would ever take the claim {dict(row)}" for row in orphans]
    for row in executions:
        id_ = row["id"]
        own = events.get(id_, []), tasks.get(id_, []), attempts.get(id_, [])
        problems += [f"{row['workflow_id']} {id_}: {problem}" for problem in _problems(row, *own)]
    assert not problems, "\n".join(problems)
    return len(executions)


def _grouped(rows: Rows) -> dict[Any, Rows]:
    groups: dict[Any, Rows] = {}
    for row in rows:
        groups.setdefault(row["execution_id"], []).append(row)
    return groups


def _problems(execution: Any, events: Rows, tasks: Rows, attempts: Rows) -> list[str]:
    return [
        *_history(execution, events),
        *_statuses(execution, events),
        *_counters(execution, tasks, events),
        *_claims(tasks, attempts, events),
        *_times(execution, tasks),
        *_quarantine(execution, events, tasks),
    ]


def _history(execution: Any, events: Rows) -> list[str]:
    problems = []
    sequences = [event["sequence"] for event in events]
    if sequences != list(range(1, execution["last_sequence"] + 1)):
        problems.append(f"sequences {sequences} are not 1..{execution['last_sequence']}")
    finals = [event["sequence"] for event in events if EventType(event["type"]) in FINAL_EVENT_TYPES]
    if finals != ([execution["last_sequence"]] if execution["final"] else []):
        problems.append(f"final={execution['final']} and final events {finals}")
    if events and events[-1]["status"] != execution["status"]:
        problems.append(f"status {execution['status']}, and {events[-1]['status']} in its last event")
    if execution["final"] != (ExecutionStatus(execution["status"]) in FINAL_EXECUTION_STATUSES):
        problems.append(f"final={execution['final']} with status {execution['status']}")
    return problems


def _statuses(execution: Any, events: Rows) -> list[str]:
    problems = []
    taken = [ExecutionStatus(event["status"]) for event in events]
    for before, after in pairwise(taken):
        if before is not after and (before, after) not in EDGES:
            problems.append(f"went from {before} to {after}")
    for event in events:
        if event["type"] == EventType.TASK_STARTED and event["status"] != ExecutionStatus.RUNNING:
            problems.append(f"task {event['task_id']} started while {event['status']}")
    return problems


def _counters(execution: Any, tasks: Rows, events: Rows) -> list[str]:
    found = Counter(TaskStatus(task["status"]) for task in tasks)
    counted = {
        "tasks_total": len(tasks),
        "tasks_open": sum(count for status, count in found.items() if status not in FINAL_TASK_STATUSES),
        "tasks_running": sum(task["status"] == "RUNNING" and task["boot_id"] is not None for task in tasks),
        "tasks_succeeded": found[TaskStatus.SUCCEEDED],
        "tasks_failed": found[TaskStatus.FAILED],
        "tasks_cancelled": found[TaskStatus.CANCELLED],
        "tasks_skipped": found[TaskStatus.SKIPPED],
    }
    problems = [
        f"{name} is {execution[name]}, counted {count}"
        for name, count in counted.items()
        if execution[name] != count
    ]
    if execution["final"] and execution["tasks_open"]:
        problems.append(f"final with {execution['tasks_open']} open tasks")
    stored = [execution[name] for name in counted if name != "tasks_open"]
    if execution["final"] and events and list(events[-1]["counts"]) != stored:
        problems.append(f"its last event counts {events[-1]['counts']}, its row {stored}")
    return problems


def _claims(tasks: Rows, attempts: Rows, events: Rows) -> list[str]:
    problems = []
    started = Counter(_key(event) for event in events if event["type"] == EventType.TASK_STARTED)
    epochs: dict[Any, list[int]] = {}
    for attempt in attempts:
        epochs.setdefault(_key(attempt), []).append(attempt["epoch"])
    for task in tasks:
        key = _key(task)
        if started[key] != task["attempt"]:
            problems.append(f"{key} is at attempt {task['attempt']} and was started {started[key]} times")
        if task["epoch"] < task["attempt"]:
            problems.append(f"{key} has epoch {task['epoch']} at attempt {task['attempt']}")
        if max(epochs.get(key, [0])) > task["epoch"]:
            problems.append(f"{key} has epoch {task['epoch']}, and ended attempts {epochs[key]}")
    return problems


def _key(row: Any) -> tuple[str, int]:
    return row["task_id"], NO_ITEM if row["item"] is None else row["item"]


def _times(execution: Any, tasks: Rows) -> list[str]:
    problems = []
    if execution["final"] and (execution["wake_time"] or not execution["end_time"]):
        problems.append("final, and a timer looks at it, or it has no end_time")
    for task in tasks:
        key = _key(task)
        is_waiting = task["status"] == "READY" and execution["status"] in ("PENDING", "RUNNING")
        stands_still = execution["cancel_requested"] or execution["quarantine"] is not None
        if (task["ready_time"] is not None) != (is_waiting and not stands_still):
            problems.append(f"{key} is {task['status']} with ready_time {task['ready_time']}")
        if TaskStatus(task["status"]) in FINAL_TASK_STATUSES and task["wake_time"] is not None:
            problems.append(f"{key} is {task['status']}, and a timer looks at it")
    return problems


def _quarantine(execution: Any, events: Rows, tasks: Rows) -> list[str]:
    """A quarantined execution starts nothing, and no timer looks at it; its events agree with its row."""
    problems = []
    is_quarantined = False
    for event in events:
        if event["type"] in (EventType.EXECUTION_QUARANTINED, EventType.EXECUTION_RELEASED):
            if is_quarantined is (event["type"] == EventType.EXECUTION_QUARANTINED):
                problems.append(f"two events {event['type']} without one of the other kind between them")
            is_quarantined = not is_quarantined
        elif event["type"] == EventType.TASK_STARTED and is_quarantined:
            problems.append(f"task {event['task_id']} started in a quarantine")
    if (execution["quarantine"] is not None) != (is_quarantined and not execution["final"]):
        problems.append(f"quarantine {execution['quarantine']}, and its events say {is_quarantined}")
    if execution["quarantine"] is None:
        return problems
    if execution["timeout_time"] is not None:
        problems.append("quarantined, and its execution timeout goes on")
    for task in tasks:
        if task["wake_time"] is not None:
            problems.append(f"quarantined, and a timer looks at {_key(task)}")
    return problems
