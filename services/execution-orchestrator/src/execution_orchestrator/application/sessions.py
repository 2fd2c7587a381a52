"""A worker's session: its credits, what it holds, and what is to be said to it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from execution_orchestrator.application.named_claims import NamedClaims
from execution_orchestrator.domain.decision import Outcome
from execution_orchestrator.domain.task import Lease, TaskKey


class Claim(NamedTuple):
    """One claim of one task: the fence and its secret, as worker and orchestrator name it to each other."""

    execution_id: UUID
    key: TaskKey
    epoch: int
    token: bytes

    def __repr__(self) -> str:
        """Describe the claim without its secret, so that no log shows it."""
        return f"Claim({self.execution_id}, {self.key}, epoch={self.epoch})"


class StopReason(StrEnum):
    """Why a handler must stop."""

    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class Stop:
    """A handler to stop."""

    claim: Claim
    reason: StopReason
    grace: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """The answer to one message of heartbeats."""

    heartbeat_id: int
    stale: list[Claim]


@dataclass
class Outbox:
    """What gathers for a worker until its stream takes it: few, fat messages."""

    leases: list[Lease] = field(default_factory=list)
    acks: list[tuple[Claim, Outcome]] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    heartbeat_acks: list[HeartbeatAck] = field(default_factory=list)
    drain: bool = False

    def __bool__(self) -> bool:
        return bool(self.leases or self.acks or self.stops or self.heartbeat_acks or self.drain)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """What a worker said of itself."""

    worker_id: str
    boot_id: str
    namespace: str
    task_types: frozenset[str]
    queues: frozenset[str]
    slots: int


class WorkerSession:
    """One worker's room and its outbox. There are never more leases out than credits were granted."""

    def __init__(self, worker: WorkerIdentity, hand_back: Callable[[Lease], None]) -> None:
        self.worker = worker
        self.worker_id = worker.worker_id
        self.boot_id = worker.boot_id
        self.credits = 0
        self.draining = False
        self.closed = False
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        self.tasks: set[asyncio.Task[None]] = set()  # of its heartbeats, so that they are not collected
        self.named_claims: NamedClaims | None = None  # from its first heartbeat on
        self.on_credit: Callable[[], None] = lambda: None
        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._claims = 0  # under way: a credit is taken for each
        self._settled = asyncio.Event()
        self._settled.set()
        self._held: dict[UUID, set[Claim]] = defaultdict(set)
        self._hand_back = hand_back

    # -- room -----------------------------------------------------------------------------------

    def grant(self, amount: int) -> None:
        """The worker takes so many more leases."""
        if not self.draining:
            self.credits += amount
            self.on_credit()

    def reserve(self) -> None:
        """Take a credit for a claim, which ends in `deliver` or `give_back`."""
        self.credits -= 1
        self._claims += 1
        self._settled.clear()

    def give_back(self) -> None:
        """A claim did not come about."""
        self._claim_ended()
        self.grant(1)

    def _claim_ended(self) -> None:
        self._claims -= 1
        if not self._claims:
            self._settled.set()

    async def settled(self) -> None:
        """Until no claim for it is under way."""
        await self._settled.wait()

    def accepts(self, namespace: str, task_type: str, queue: str) -> bool:
        """Whether it has a credit for such a task, which is not taken by asking."""
        return (
            self.credits > 0
            and not self.closed
            and self.worker.namespace == namespace
            and task_type in self.worker.task_types
            and queue in self.worker.queues
        )

    def stop_taking(self) -> None:
        """The worker is draining: no more leases."""
        self.draining = True
        self.credits = 0

    # -- what it holds --------------------------------------------------------------------------

    def hold(self, claim: Claim) -> None:
        """The worker has this claim, as a delivery or a heartbeat of it says."""
        self._held[claim.execution_id].add(claim)

    def let_go(self, claim: Claim) -> None:
        """The claim is over."""
        held = self._held.get(claim.execution_id)
        if held is not None:
            held.discard(claim)
            if not held:
                del self._held[claim.execution_id]

    def held_of(self, execution_ids: Iterable[UUID]) -> list[Claim]:
        """The claims that it holds of these executions."""
        return [claim for id_ in execution_ids for claim in self._held.get(id_, ())]

    # -- what is said to it ---------------------------------------------------------------------

    def deliver(self, lease: Lease) -> None:
        """A committed claim for the worker; one that comes too late goes back into the queue, uncharged."""
        self._claim_ended()
        if self.closed:
            self._hand_back(lease)
            return
        self.hold(Claim(lease.execution_id, lease.key, lease.epoch, lease.token))
        self._outbox.leases.append(lease)
        self._filled.set()

    def acknowledge(self, claim: Claim, outcome: Outcome) -> None:
        """A result was taken, or refused."""
        self.let_go(claim)
        self._outbox.acks.append((claim, outcome))
        self._filled.set()

    def acknowledge_heartbeats(self, ack: HeartbeatAck) -> None:
        """Heartbeats were taken."""
        for claim in ack.stale:
            self.let_go(claim)
        self._outbox.heartbeat_acks.append(ack)
        self._filled.set()

    def stop(self, stops: Iterable[Stop]) -> None:
        """Handlers must stop."""
        for stop in stops:
            if stop.reason is StopReason.REVOKED:
                self.let_go(stop.claim)
            self._outbox.stops.append(stop)
            self._filled.set()

    def ask_to_leave(self) -> None:
        """This replica is about to stop: the worker connects to another one, its leases stay."""
        self.stop_taking()
        self._outbox.drain = True
        self._filled.set()

    def fail(self, error: Exception) -> None:
        """End the session with an error: what the worker reported was not recorded, let it report again."""
        self.failure = self.failure or error
        self.close()

    def close(self) -> None:
        """No more is said; what was not sent of leases goes back into the queue."""
        if self.closed:
            return
        self.closed = True
        self.ended.set()
        self.credits = 0
        for lease in self._outbox.leases:
            self._hand_back(lease)
        self._outbox.leases.clear()
        self._filled.set()

    async def filled(self) -> None:
        """Until there is something to be said, or the session is over."""
        await self._filled.wait()

    def take_leases(self) -> list[Lease]:
        """The leases that have gathered; from here on they are the worker's."""
        leases, self._outbox.leases = self._outbox.leases, []
        return leases

    async def take(self) -> Outbox:
        """Everything that has gathered; waits until there is something. Empty: the session is over."""
        await self._filled.wait()
        await asyncio.sleep(0)  # what the same commit still has to say goes into the same message
        self._filled.clear()
        outbox, self._outbox = self._outbox, Outbox()
        if self.closed:
            self._filled.set()
        return outbox
