"""The keys in Redis under which a client may read how many jobs wait. `protos/README.md` documents them."""

from typing import Final

from workflow_contract.names import DEFAULT_QUEUE

QUEUE_KEY: Final = "workflow:execution:queue"
"""The list that has an element for each job that waits in the default queue: `LLEN` is their number."""


def queue_key(queue: str) -> str:
    """Return the key of a queue's list."""
    return QUEUE_KEY if queue == DEFAULT_QUEUE else f"{QUEUE_KEY}:{queue}"
