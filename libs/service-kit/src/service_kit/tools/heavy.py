"""Work of some milliseconds and more, on a thread, so that the event loop goes on with everything else.

Such work needs the interpreter all the time, so each HeavyThread does one piece after the other: more at once
would be no faster and would only slow the event loop. Set `sys.setswitchinterval(SWITCH_SECONDS)` in a
service that uses one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from service_kit.errors import OVERLOADED, resource_exhausted

LARGE_BYTES = 64 * 1024
"""A message, or a payload, with more bytes is heavy: to parse, check or convert it takes up to 20 ms."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Of what waits for the thread; work on more is refused."""

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while the event loop waits for it. Python's own 5 ms would delay
each of the dozen steps of a small call by that much.
"""

T = TypeVar("T")


class HeavyThread:
    """One thread that does one piece of work after the other, in the order in which they came.

    A `max_waiting_bytes` of None is no limit: for callers that have one of their own.
    """

    def __init__(self, name: str, max_waiting_bytes: int | None = MAX_WAITING_BYTES) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._limit = math.inf if max_waiting_bytes is None else max_waiting_bytes
        self._waiting_bytes = 0

    async def run(self, size_bytes: int, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Return what `work` returns, or raise what it raises; `size_bytes` is what it works on.

        Small work is done at once, without the thread. Raise ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if
        more than `max_waiting_bytes` would wait. If the caller is cancelled, work that has not begun is
        dropped.
        """
        if size_bytes <= LARGE_BYTES:
            return work(*arguments, **named)
        if self._waiting_bytes and self._waiting_bytes + size_bytes > self._limit:
            raise resource_exhausted(OVERLOADED, "too many large messages wait to be read; try again later")
        self._waiting_bytes += size_bytes
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, partial(work, *arguments, **named))
        finally:
            self._waiting_bytes -= size_bytes
