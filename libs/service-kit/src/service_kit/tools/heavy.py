"""Work of some milliseconds and more, on a thread, so that the event loop continues meanwhile.

Such work holds the interpreter, so a HeavyThread does one piece after the other: several at once would be no
faster and would only slow the event loop down. Set `sys.setswitchinterval(SWITCH_SECONDS)` in a service that
uses one.
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
"""A message or payload with more bytes is heavy: parsing, checking or converting it takes up to 20 ms."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""The bytes that may wait for the thread; further work is refused."""

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while the event loop waits for it. A small call has a dozen
steps, and Python's own value of 5 ms would delay each of them by 5 ms.
"""

T = TypeVar("T")


class HeavyThread:
    """One thread that does pieces of work one after the other, in the order in which they arrived.

    If `max_waiting_bytes` is None, there is no limit: the caller has a limit already.
    """

    def __init__(self, name: str, max_waiting_bytes: int | None = MAX_WAITING_BYTES) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._limit = math.inf if max_waiting_bytes is None else max_waiting_bytes
        self._waiting_bytes = 0

    async def run(self, size_bytes: int, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run `work` on a value of `size_bytes`; return its result or raise its error.

        Small work runs at once, without the thread. Raise ServiceError RESOURCE_EXHAUSTED (OVERLOADED) if
        more than `max_waiting_bytes` would wait. If the caller is cancelled, work that has not begun is
        dropped.
        """
        if size_bytes <= LARGE_BYTES:
            return work(*arguments, **named)
        if self._waiting_bytes and self._waiting_bytes + size_bytes > self._limit:
            raise resource_exhausted(
                OVERLOADED,
                "too many large messages wait on this replica: send the same call again after a short wait",
            )
        self._waiting_bytes += size_bytes
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, partial(work, *arguments, **named))
        finally:
            self._waiting_bytes -= size_bytes
