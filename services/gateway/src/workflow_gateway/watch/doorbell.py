"""The doorbell: what the orchestrator publishes after each commit.

A message is UTF-8 lines, one per execution of the committed batch:

    namespace SP execution_id SP last_sequence SP status [SP further words]

It is a hint. It may come late, twice, or never; what watchers are told is read from the orchestrator.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import structlog

from workflow_gateway.watch.messages import ExecutionKey

CHANNEL = "workflow:execution:events"

log = structlog.get_logger(__name__)


def rings(data: bytes) -> Iterator[tuple[ExecutionKey, int]]:
    """The executions with news, and the last sequence of each. Lines of another form are passed over."""
    for line in data.splitlines():
        try:
            namespace, execution_id, last_sequence, _status = line.decode().split(" ", 3)
            yield ExecutionKey(namespace, UUID(execution_id)), int(last_sequence)
        except ValueError:
            log.warning("doorbell_not_understood", line=line[:200])
