"""A doorbell in memory. It passes the same contract suite as the doorbell in Redis."""

import asyncio
from collections.abc import Callable, Sequence

from workflow_contract.doorbell import Ring


class FakeBus:
    """The channel that all doorbells of a test share."""

    def __init__(self) -> None:
        self.listeners: list[tuple[object, Callable[[Sequence[Ring]], None]]] = []


class FakeDoorbell:
    """The doorbell of one process."""

    def __init__(self, bus: FakeBus) -> None:
        self._bus = bus

    async def publish(self, rings: Sequence[Ring]) -> None:
        for owner, on_rings in self._bus.listeners:
            if rings and owner is not self:
                on_rings(list(rings))

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:
        entry = (self, on_rings)
        self._bus.listeners.append(entry)
        on_gap()
        try:
            await asyncio.Event().wait()
        finally:
            self._bus.listeners.remove(entry)
