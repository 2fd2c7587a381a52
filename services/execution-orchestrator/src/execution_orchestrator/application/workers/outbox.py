"""Messages that wait to be sent to a worker: leases, orders, and answers to its results and heartbeats."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from execution_orchestrator.domain.task import Claim, Lease

Reference = object
"""How a worker named a claim. The entrypoint sends it back unchanged."""


class ReportStatus(StrEnum):
    """The answer to a result. `ResultStatus` in the contract has the same names."""

    RECORDED = "RECORDED"
    STALE = "STALE"
    REJECTED = "REJECTED"
    UNDECIDED = "UNDECIDED"


class CancelReason(StrEnum):
    """Why a handler must stop."""

    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class Cancel:
    """An order to stop a handler."""

    claim: Claim
    reason: CancelReason
    grace: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """The answer to one message of heartbeats."""

    heartbeat_id: int
    stale: list[Claim]
    unreadable: tuple[Reference, ...] = ()
    """References that can name no claim. They are stale too."""


@dataclass
class Outbox:
    """Everything that waits for the stream. It travels in as few messages as possible."""

    leases: list[Lease] = field(default_factory=list)
    acks: list[tuple[Reference, ReportStatus]] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)
    heartbeat_acks: list[HeartbeatAck] = field(default_factory=list)
    drain: bool = False

    def __bool__(self) -> bool:
        return bool(self.leases or self.acks or self.cancels or self.heartbeat_acks or self.drain)
