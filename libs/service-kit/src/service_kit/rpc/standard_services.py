"""Health and reflection of every server; their streams end when the server drains.

A client that checks health keeps a `Watch` open while it is connected, and a tool that explores the server
keeps a reflection stream open. If the server did not end these streams, each would delay a shutdown for its
whole grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from service_kit.errors import DRAINING, unavailable

STANDARD_NAMES = (health.SERVICE_NAME, reflection.SERVICE_NAME)
NEWS_SECONDS = 0.2
"""How long a drain waits for watchers of health to receive NOT_SERVING before it ends their streams."""


class StandardServices:
    """`grpc.health.v1` and reflection of one server."""

    def __init__(self, server: grpc.aio.Server, names: Sequence[str]) -> None:
        """Add both services to `server`; reflection lists `names` and these two."""
        self._streams = _Streams()
        self.health = _Health(self._streams)
        shown = [*names, *STANDARD_NAMES]
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(shown, self._streams), server)

    async def drain(self) -> None:
        """Let watchers receive NOT_SERVING, then end every open stream with UNAVAILABLE (DRAINING)."""
        await self._streams.end()


class _Streams:
    """The open streams, each by the task that serves it."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()

    async def end(self) -> None:
        if self._open:
            await asyncio.sleep(NEWS_SECONDS)
        self._ended.set()
        for task in self._open:
            task.cancel()

    @contextmanager
    def entered(self, context: Any) -> Iterator[None]:
        """Register the stream of the running task; raise UNAVAILABLE in it when the server drains."""
        task = asyncio.current_task()
        assert task is not None
        if self._ended.is_set():
            raise _draining()
        self._open.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._ended.is_set() and not context.cancelled():
                raise _draining() from None
            raise
        finally:
            self._open.discard(task)


class _Health(health.aio.HealthServicer):
    def __init__(self, streams: _Streams) -> None:
        super().__init__()
        self._streams = streams

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802
        with self._streams.entered(context):
            await super().Watch(request, context)


class _Reflection(reflection.aio.ReflectionServicer):
    def __init__(self, names: Sequence[str], streams: _Streams) -> None:
        super().__init__(names)
        self._streams = streams

    async def ServerReflectionInfo(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        with self._streams.entered(context):
            async for response in super().ServerReflectionInfo(request_iterator, context):
                yield response


def _draining() -> Exception:
    return unavailable(DRAINING, "this replica is shutting down: connect again, and another one answers")
