"""The port DefinitionCache in Redis.

    workflow:catalog:definitions    hash: slot (0 to 255) -> zlib of the definition's canonical JSON

A definition has one slot, told by its content hash, and takes it from whatever was there: so the cache has
at most 256 entries of at most 64 KiB, and needs no bookkeeping. What is read is hashed again: an entry of
another definition, or a damaged one, is a miss. Losing Redis, or all it has, costs one statement of the
database for each definition.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from service_kit.clock import Clock
from service_kit.redis import REDIS_ERRORS
from workflow_contract.limits import MAX_PAYLOAD_BYTES

from workflow_catalog.domain.definition import Definition

KEY: Final = "workflow:catalog:definitions"
SLOTS: Final = 256
MAX_ENTRY_BYTES: Final = 64 * 1024
"""Of a compressed definition; larger ones are read from the database."""
KEPT_SECONDS: Final = 86_400
"""From the last definition that was put."""
PAUSE_SECONDS: Final = 5.0
"""How long a Redis that did not answer is not asked again."""

log = structlog.get_logger(__name__)


class RedisDefinitionCache:
    """The port DefinitionCache. `client` should give up after a short time."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._silent_until = 0.0

    async def get(self, content_hashes: Sequence[str]) -> Mapping[str, Definition]:
        """See the port."""
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
        """See the port."""
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
    """The definition in an entry; None for what is none, or is larger than a definition can be."""
    try:
        inflating = zlib.decompressobj()
        text = inflating.decompress(entry, MAX_PAYLOAD_BYTES).decode()
    except (zlib.error, UnicodeDecodeError):
        return None
    return Definition.of_text(text) if inflating.eof else None
