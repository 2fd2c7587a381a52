"""UUIDv7: ids that sort by their creation time, so that new rows go to the end of an index."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

RANDOM_BITS = 74
_RANDOM_MASK = (1 << RANDOM_BITS) - 1
_LOW_BITS = 62
_LOW_MASK = (1 << _LOW_BITS) - 1
_MAX_MS = (1 << 48) - 1


def uuid7(now_ms: int, randomness: int) -> UUID:
    """Compose a UUIDv7 (RFC 9562) from milliseconds since 1970 (48 bits) and 74 bits of randomness.

    Raise ValueError if an argument does not fit.
    """
    if not 0 <= now_ms <= _MAX_MS:
        raise ValueError(f"now_ms must be between 0 and 2^48 - 1, not {now_ms}")
    if not 0 <= randomness <= _RANDOM_MASK:
        raise ValueError(f"randomness must be between 0 and 2^{RANDOM_BITS} - 1")
    high = (now_ms << 16) | (0x7 << 12) | (randomness >> _LOW_BITS)
    low = (0b10 << _LOW_BITS) | (randomness & _LOW_MASK)
    return UUID(int=(high << 64) | low)


class Uuid7Generator:
    """A source of strictly growing UUIDv7s, also within one millisecond and when the clock steps back.

    Within a millisecond the random part grows by a random step of up to 2^32. So the ids of a process are
    sorted, and ids of different processes do not collide. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = -1
        self._last_random = 0

    def next(self, now_ms: int) -> UUID:
        """Return the next id at `now_ms` (milliseconds since 1970); it is greater than every earlier one."""
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._last_random = secrets.randbits(RANDOM_BITS - 1)
            else:
                self._last_random += 1 + secrets.randbits(32)
                if self._last_random > _RANDOM_MASK:
                    self._last_ms += 1
                    self._last_random = secrets.randbits(RANDOM_BITS - 1)
            return uuid7(self._last_ms, self._last_random)


_generator = Uuid7Generator()


def new_uuid7() -> UUID:
    """Return a new UUIDv7 by the machine's clock; it is greater than every earlier one of this process."""
    return _generator.next(time.time_ns() // 1_000_000)
