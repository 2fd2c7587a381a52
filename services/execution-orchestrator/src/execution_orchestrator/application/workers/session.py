"""A worker's session: its credits, the claims that it holds, and the messages that wait for it.

The limits protect the memory of the replica from a worker that grants credits without end or does not read.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from service_kit.errors import ServiceError, resource_exhausted

from execution_orchestrator.application.workers.named_claims import NamedClaims
from execution_orchestrator.application.workers.outbox import (
    Cancel,
    CancelReason,
    HeartbeatAck,
    Outbox,
    Reference,
    ReportStatus,
)
from execution_orchestrator.domain.task import Claim, Lease

MAX_UNSENT_LEASE_BYTES: Final = 8 * 1024 * 1024
"""Inputs of the leases that wait for one session's stream. Over this limit the session takes no new lease
until the stream has sent what waits; so a slow reader leaves the jobs to other workers.
"""

MAX_UNSENT_ITEMS: Final = 50_000
"""Acknowledgements and cancels that wait for one session's stream. Over this limit the session ends."""


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much may wait for the stream of one session."""

    unsent_lease_bytes: int = MAX_UNSENT_LEASE_BYTES
    unsent_items: int = MAX_UNSENT_ITEMS


USUAL_LIMITS: Final = OutboxLimits()


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """How a worker introduced itself: who it is, and what it offers."""

    worker_id: str
    boot_id: str
    namespace: str
    task_types: frozenset[str]
    queues: frozenset[str]
    slots: int
    labels: tuple[tuple[str, str], ...] = ()
    sdk: str = ""


@dataclass(slots=True)
class Held:
    """A claim in a worker's hands, and whether the worker has named it.

    If the worker brought the claim from another replica, only its name is known, and the rest is empty.
    """

    named: bool
    workflow_id: str = ""
    task_type: str = ""
    attempt: int = 0
    since: float | None = None  # of the session's monotonic clock
    shown: Any = None  # the message that `worker_facts` makes of it, once


class WorkerSession:
    """One worker's credits, claims and outbox. It never gets more leases than it granted credits.

    `max_credits` limits the credits, however often the worker grants them; None means the worker's slots.
    `hand_back` makes a claim READY again that no worker saw; no budget is charged.
    """

    def __init__(
        self,
        worker: WorkerIdentity,
        hand_back: Callable[[Claim], None],
        max_credits: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        limits: OutboxLimits = USUAL_LIMITS,
    ) -> None:
        self._limits = limits
        self.worker = worker
        self.monotonic = monotonic
        self.worker_id = worker.worker_id
        self.boot_id = worker.boot_id
        self.credits = 0
        self.draining = False
        self.closed = False
        self.ended = asyncio.Event()
        self.failure: Exception | None = None
        self.named_claims: NamedClaims | None = None  # from its first heartbeat on
        self.last_message_time = datetime.now(UTC)
        """When the worker's latest message came, by the clock of this process."""
        self.on_credit: Callable[[], None] = lambda: None
        self._max_credits = worker.slots if max_credits is None else max_credits
        self._withheld = 0  # credits that count again when the outbox is small enough
        self._outbox = Outbox()
        self._filled = asyncio.Event()
        self._unsent_bytes = 0
        self._claims = 0  # under way: a credit is taken for each
        self._settled = asyncio.Event()
        self._settled.set()
        self._held: dict[UUID, dict[Claim, Held]] = defaultdict(dict)
        self._hand_back = hand_back

    # -- credits --------------------------------------------------------------------------------

    def grant(self, amount: int) -> None:
        """Add credits, up to the limit."""
        if self.draining or self.closed:
            return
        if self._unsent_bytes > self._limits.unsent_lease_bytes:
            self._withheld = min(self._withheld + amount, self._max_credits)
            return
        self.credits = min(self.credits + amount, self._max_credits)
        self.on_credit()

    def reserve(self) -> None:
        """Take a credit for a claim, which ends in `deliver` or `give_back`."""
        self.credits -= 1
        self._claims += 1
        self._settled.clear()

    def give_back(self) -> None:
        """Return the credit of a claim that failed."""
        self._claim_ended()
        self.grant(1)

    def _claim_ended(self) -> None:
        self._claims -= 1
        if not self._claims:
            self._settled.set()

    async def settled(self) -> None:
        """Wait until no claim for this session is under way."""
        await self._settled.wait()

    def accepts(self, namespace: str, task_type: str, queue: str) -> bool:
        """Return whether the session has a credit for such a task. The credit stays."""
        return (
            self.credits > 0
            and not self.closed
            and self.worker.namespace == namespace
            and task_type in self.worker.task_types
            and queue in self.worker.queues
        )

    def stop_taking(self) -> None:
        """Take no more leases: the worker drains, or has to leave."""
        self.draining = True
        self.credits = self._withheld = 0

    # -- claims ---------------------------------------------------------------------------------

    def hold(self, claim: Claim) -> None:
        """Note that the worker has this claim: a heartbeat named it."""
        held = self._held[claim.execution_id]
        if claim in held:
            held[claim].named = True
        else:
            held[claim] = Held(named=True)

    def let_go(self, claim: Claim) -> None:
        """Forget a claim that is over."""
        held = self._held.get(claim.execution_id)
        if held is not None:
            held.pop(claim, None)
            if not held:
                del self._held[claim.execution_id]

    def held_of(self, execution_ids: Iterable[UUID]) -> list[Claim]:
        """Return the claims that the worker holds of these executions."""
        return [claim for id_ in execution_ids for claim in self._held.get(id_, ())]

    def held(self) -> Iterator[tuple[Claim, Held]]:
        """Iterate over the claims in the worker's hands, in no particular order."""
        return (item for claims in self._held.values() for item in claims.items())

    @property
    def held_count(self) -> int:
        """The number of claims in the worker's hands."""
        return sum(map(len, self._held.values()))

    def take_over(self, older: "WorkerSession", patience_seconds: float) -> None:
        """Hold the claims of the worker's older session, which has closed.

        A lease that the older session sent last may not have reached the worker. If the worker names it
        neither in a heartbeat nor in a result within `patience_seconds`, the worker does not have it, and it
        is handed back.
        """
        moved, older._held = older._held, defaultdict(dict)
        unnamed = []
        for id_, claims in moved.items():
            self._held[id_].update(claims)
            unnamed += [claim for claim, held in claims.items() if not held.named]
        if unnamed:
            asyncio.get_running_loop().call_later(patience_seconds, self._hand_back_unnamed, unnamed)

    def _hand_back_unnamed(self, claims: Iterable[Claim]) -> None:
        if self.closed:
            return  # the worker could not name them; its next session takes them over
        for claim in claims:
            held = self._held.get(claim.execution_id, {}).get(claim)
            if held is not None and not held.named:
                self.return_unsent([claim])

    # -- messages to the worker -----------------------------------------------------------

    def deliver(self, lease: Lease) -> None:
        """Send the lease of a committed claim. If the session has closed, hand the claim back."""
        self._add_lease(lease)
        self._filled.set()

    def _add_lease(self, lease: Lease) -> None:
        self._claim_ended()
        claim = lease.claim
        if self.closed:
            self._hand_back(claim)
            return
        self._held[claim.execution_id][claim] = Held(
            False, lease.workflow_id, lease.task_type, lease.attempt, self.monotonic()
        )
        self._outbox.leases.append(lease)
        self._unsent_bytes += len(lease.input)
        if self._unsent_bytes > self._limits.unsent_lease_bytes:
            self._withheld += self.credits
            self.credits = 0

    def settle(
        self, claim: Claim, reference: Reference, status: ReportStatus, next_leases: Iterable[Lease] = ()
    ) -> None:
        """Answer a result, and send the leases that follow from it in the same message."""
        self.let_go(claim)
        for lease in next_leases:
            self._add_lease(lease)
        self.acknowledge(reference, status)

    def acknowledge(self, reference: Reference, status: ReportStatus) -> None:
        """Answer a result that settles no claim."""
        self._outbox.acks.append((reference, status))
        self._wake(len(self._outbox.acks))

    def acknowledge_heartbeats(self, ack: HeartbeatAck) -> None:
        """Send the answer to a message of heartbeats."""
        for claim in ack.stale:
            self.let_go(claim)
        self._outbox.heartbeat_acks.append(ack)
        self._wake(len(self._outbox.heartbeat_acks))

    def cancel(self, cancels: Iterable[Cancel]) -> None:
        """Send the worker orders to stop handlers."""
        for cancel in cancels:
            if cancel.reason is CancelReason.REVOKED:
                self.let_go(cancel.claim)
            self._outbox.cancels.append(cancel)
            self._wake(len(self._outbox.cancels))

    def _wake(self, waiting: int) -> None:
        self._filled.set()
        if waiting > self._limits.unsent_items:
            self.fail(not_read())

    def ask_to_leave(self) -> None:
        """Ask the worker to connect again, to another replica. Its leases stay."""
        if self.closed:
            return
        self.stop_taking()
        self._outbox.drain = True
        self._filled.set()

    def fail(self, error: Exception) -> None:
        """End the session with an error. The first error stands; a closed session stays as it is."""
        if not self.closed:
            self.failure = error
            self.close()

    def close(self) -> None:
        """Take nothing more, and hand back the leases that were not sent."""
        if self.closed:
            return
        self.closed = True
        self.ended.set()
        self.stop_taking()
        leases, self._outbox.leases = self._outbox.leases, []
        self.return_unsent(lease.claim for lease in leases)
        self._filled.set()

    async def filled(self) -> None:
        """Wait until there is something to send, or the session has closed."""
        await self._filled.wait()

    async def next_outbox(self) -> Outbox:
        """Wait for messages and return all of them. The outbox is empty if the session has closed."""
        await self._filled.wait()
        self._filled.clear()
        outbox, self._outbox = self._outbox, Outbox()
        if self.closed:
            self._filled.set()
        return outbox

    def take_leases(self) -> list[Lease]:
        """Return the leases that wait. The caller must send them, or hand them back."""
        leases, self._outbox.leases = self._outbox.leases, []
        return leases

    def sent(self, leases: Iterable[Lease]) -> None:
        """Note that leases have left the outbox, sent or not. Credits that were withheld count again."""
        self._unsent_bytes -= sum(len(lease.input) for lease in leases)
        if self._withheld and self._unsent_bytes <= self._limits.unsent_lease_bytes:
            amount, self._withheld = self._withheld, 0
            self.grant(amount)

    def return_unsent(self, claims: Iterable[Claim]) -> None:
        """Hand back claims whose leases the worker surely never saw."""
        for claim in claims:
            self.let_go(claim)
            self._hand_back(claim)


def not_read() -> ServiceError:
    """Return the error of a session whose worker does not read its stream."""
    message = (
        "the worker does not read what is sent to it: read the stream without a pause, then connect again"
    )
    return resource_exhausted("SESSION_NOT_READ", message)
