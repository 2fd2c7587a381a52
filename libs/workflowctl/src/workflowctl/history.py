"""Watch an execution from its first event on, even if the watch began later."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

from workflow_sdk.client import Client
from workflow_sdk.models import Event, WatchUpdate

REPLICA_LOOKS = 200
REPLICA_WAIT_SECONDS = 0.02


async def watch_from_the_start(client: Client, execution_id: str) -> AsyncIterator[WatchUpdate]:
    """Yield the updates of `client.watch`. After the snapshot, yield the events that it already includes.

    Raise the errors of `Client.watch` and `Client.events`.
    """
    async for update in client.watch(execution_id):
        yield update
        if update.snapshot is None:
            continue
        async for event in _events_up_to(client, execution_id, update.snapshot.last_sequence):
            yield dataclasses.replace(update, snapshot=None, event=event)


async def _events_up_to(client: Client, execution_id: str, last_sequence: int) -> AsyncIterator[Event]:
    """Yield the events 1 to `last_sequence`. They come from a replica, which may be a moment behind."""
    sequence = 0
    for _ in range(REPLICA_LOOKS):
        async for event in client.events(execution_id, after_sequence=sequence):
            if event.sequence > last_sequence:
                return
            sequence = event.sequence
            yield event
        if sequence >= last_sequence:
            return
        await asyncio.sleep(REPLICA_WAIT_SECONDS)
