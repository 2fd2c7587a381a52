"""The port DefinitionCache in Redis.

    workflow:catalog:definitions    hash: slot (0 to 255) -> zlib of the definition's canonical JSON

The content hash of a definition determines its slot, and a new definition replaces the old one in its slot.
So the cache has at most 256 entries of at most 64 KiB, and needs no bookkeeping. Each read computes the hash
of the entry again: an entry of another definition, or a damaged one, is a miss. If Redis loses the cache,
each definition costs one statement in the database.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from service_kit.data.redis import REDIS_ERRORS
from service_kit.tools.clock import Clock
from workflow_contract.limits import MAX_PAYLOAD_BYTES

from workflow_catalog.domain.definition import Definition

KEY: Final = "workflow:catalog:definitions"
SLOTS: Final = 256
MAX_ENTRY_BYTES: Final = 64 * 1024
"""Size of a compressed definition. Larger ones are not cached."""
KEPT_SECONDS: Final = 86_400
"""Time after the last write until Redis deletes the whole cache."""
PAUSE_SECONDS: Final = 5.0
"""Time without calls after Redis did not answer."""

log = structlog.get_logger(__name__)


class RedisDefinitionCache:
    """The port DefinitionCache. `client` should have a short timeout."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._silent_until = 0.0

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        if self._clock.monotonic() < self._silent_until:
            return {}
        try:
            entries = await self._client.hmget(KEY, [_slot(each) for each in content_hashes])
        except REDIS_ERRORS as error:
            self._pause(error)
            return {}
        read = [_read(entry) for entry in entries if isinstance(entry, bytes)]
        wanted = frozenset(content_hashes)
        return {each.content_hash: each for each in read if each is not None and each.content_hash in wanted}

    async def put(self, definitions: Sequence[Definition]) -> None:
        packed = {_slot(each.content_hash): zlib.compress(each.text.encode(), 1) for each in definitions}
        small = {slot: entry for slot, entry in packed.items() if len(entry) <= MAX_ENTRY_BYTES}
        if not small or self._clock.monotonic() < self._silent_until:
            return
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.hset(KEY, mapping=dict[Any, Any](small))
                pipeline.expire(KEY, KEPT_SECONDS)
                await pipeline.execute()
        except REDIS_ERRORS as error:
            self._pause(error)

    def _pause(self, error: Exception) -> None:
        self._silent_until = self._clock.monotonic() + PAUSE_SECONDS
        log.warning("definition_cache_unavailable", error=repr(error), pause_seconds=PAUSE_SECONDS)


def _slot(content_hash: str) -> str:
    return str(int(content_hash[:8], 16) % SLOTS)


def _read(entry: bytes) -> Definition | None:
    """Return the definition in an entry, or None if the entry is damaged or too large for a definition."""
    try:
        inflating = zlib.decompressobj()
        text = inflating.decompress(entry, MAX_PAYLOAD_BYTES).decode()
    except (zlib.error, UnicodeDecodeError):
        return None
    return Definition.of_text(text) if inflating.eof else None
