"""The port to the locks of duties."""

from typing import Protocol


class Lock(Protocol):
    """The right of one replica to do a duty, for a span of time. It saves work.

    Two replicas may have it at once, so the duty must be correct then too.
    """

    async def try_acquire(self) -> bool:
        """Take the lock if it is free, or extend it if this replica has it; return whether this replica has
        it.

        Raise HintsUnavailableError. The call may be repeated.
        """
        ...

    async def release(self) -> None:
        """Give the lock up if this replica has it. Raise nothing: if Redis does not answer, the lock
        expires.
        """
        ...
