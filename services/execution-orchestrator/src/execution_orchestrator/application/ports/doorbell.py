"""The port to the doorbell, which says that executions have changed."""

from collections.abc import Callable, Sequence
from typing import Protocol

from workflow_contract.doorbell import Ring


class Doorbell(Protocol):
    """Tells every replica and gateway that executions changed. Rings may be lost; `on_gap` says when."""

    async def publish(self, rings: Sequence[Ring]) -> None:
        """Send all rings as one message. Raise HintsUnavailableError. May be repeated."""
        ...

    async def listen(self, on_rings: Callable[[Sequence[Ring]], None], on_gap: Callable[[], None]) -> None:
        """Give the rings of OTHER processes to `on_rings`, one call for each message, until cancelled.

        Call `on_gap` at the first connection and after every reconnection: rings may have been lost, so the
        caller must look at Postgres. Both functions must return quickly.
        """
        ...
