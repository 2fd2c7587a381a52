"""The doorbell, which the orchestrator rings after each commit (`workflow_contract.doorbell`)."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from workflow_contract.doorbell import Ring

from workflow_gateway.watch.messages import ExecutionKey

log = structlog.get_logger(__name__)


def rings(data: bytes) -> Iterator[tuple[ExecutionKey, int]]:
    """Yield each execution with news, and its last sequence number. Skip lines that are not rings."""
    for line in data.splitlines():
        try:
            ring = Ring.decode(line.decode())
        except ValueError:
            log.warning("ring_not_understood", line=line[:200])
        else:
            yield ExecutionKey(ring.namespace, ring.execution_id), ring.last_sequence
