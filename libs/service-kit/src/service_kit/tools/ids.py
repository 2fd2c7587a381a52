"""UUIDv7: ids that sort by their creation time, so that new rows go to the end of an index.

The last BUCKET_BITS bits of an id are its bucket. They are random unless the caller chooses them, so that ids
which belong together can be kept together.
"""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

RANDOM_BITS = 74
BUCKET_BITS = 10
SERIAL_BITS = RANDOM_BITS - BUCKET_BITS
_RANDOM_MASK = (1 << RANDOM_BITS) - 1
_SERIAL_MASK = (1 << SERIAL_BITS) - 1
_BUCKET_MASK = (1 << BUCKET_BITS) - 1
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

    The random part without the bucket is the serial. Within a millisecond it grows by a random step of up to
    2^32. So the ids of a process are sorted, and ids of different processes do not collide. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = -1
        self._last_serial = 0

    def next(self, now_ms: int, bucket: int | None = None) -> UUID:
        """Return the next id at `now_ms` (milliseconds since 1970); it is greater than every earlier one.

        Raise ValueError if the bucket does not fit into BUCKET_BITS.
        """
        if bucket is not None and not 0 <= bucket <= _BUCKET_MASK:
            raise ValueError(f"the bucket must be between 0 and {_BUCKET_MASK}, not {bucket}")
        randomness = secrets.randbits(RANDOM_BITS - 1)
        with self._lock:
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._last_serial = randomness >> BUCKET_BITS
            else:
                self._last_serial += 1 + (randomness >> (RANDOM_BITS - 33))
                if self._last_serial > _SERIAL_MASK:
                    self._last_ms += 1
                    self._last_serial = randomness >> BUCKET_BITS
            low = randomness & _BUCKET_MASK if bucket is None else bucket
            return uuid7(self._last_ms, self._last_serial << BUCKET_BITS | low)


_generator = Uuid7Generator()


def new_uuid7(bucket: int | None = None) -> UUID:
    """Return a new UUIDv7 by the machine's clock; it is greater than every earlier one of this process.

    Raise ValueError if the bucket does not fit into BUCKET_BITS.
    """
    return _generator.next(time.time_ns() // 1_000_000, bucket)
