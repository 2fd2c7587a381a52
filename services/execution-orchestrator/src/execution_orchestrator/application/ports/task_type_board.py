"""The port to the board of task types that live workers offer."""

from collections.abc import Collection
from typing import Protocol


class TaskTypeBoard(Protocol):
    """The task types that live workers offer, on all replicas. Methods raise HintsUnavailableError."""

    async def offer(self, namespace: str, task_types: Collection[str], trust_seconds: float) -> None:
        """Note that workers of this replica offer these types, for `trust_seconds`. May be repeated."""
        ...

    async def offered(self, namespace: str) -> frozenset[str]:
        """Return the types that any replica has noted and whose time is not over."""
        ...
