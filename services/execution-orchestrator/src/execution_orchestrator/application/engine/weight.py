"""The weight of work: how much of a transaction it takes, which its whole batch and the event loop wait for.

The unit is a byte of a payload. A row weighs as much as 1,024 of them. So a transaction with a weight of
`limits.MAX_BATCH_WEIGHT` takes some tenths of a second at most, whether it has many rows or large payloads.
"""

from execution_orchestrator.application.engine.work import StartWork, Work
from execution_orchestrator.domain.commands import ReportTask, Succeeded
from execution_orchestrator.domain.decision import Decision

ROW_WEIGHT = 1024
_COMMAND_WEIGHT = 4 * ROW_WEIGHT


def weight_of_work(work: Work) -> int:
    """Estimate the weight of work before it is decided. Its decision may weigh more."""
    if isinstance(work, StartWork):
        return ROW_WEIGHT * (2 + len(work.plan.tasks)) + len(work.command.input)
    command = work.command
    if isinstance(command, ReportTask) and isinstance(command.outcome, Succeeded):
        return _COMMAND_WEIGHT + len(command.outcome.output)
    return _COMMAND_WEIGHT


def weight_of_decision(decision: Decision) -> int:
    """Return the weight of a decision: of every row that it writes, with its payloads."""
    rows = 1 + len(decision.tasks) + len(decision.events) + len(decision.attempts)
    payload = len(decision.execution.output or "")
    for task in decision.tasks.values():
        if task.input:
            payload += len(task.input)
        if task.output:
            payload += len(task.output)
    return ROW_WEIGHT * rows + payload
