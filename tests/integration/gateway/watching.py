"""A watcher's client, for tests."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from service_kit.errors import ServiceError, from_rpc_error
from workflowsystem.gateway.v1.watch_service_pb2 import WatchExecutionRequest
from workflowsystem.gateway.v1.watch_service_pb2_grpc import WatchServiceStub


class Watch:
    """One call of WatchExecution, and what it has brought so far."""

    def __init__(self, channel: grpc.aio.Channel, execution_id: str, resume_token: str = "") -> None:
        request = WatchExecutionRequest(execution_id=execution_id, resume_token=resume_token)
        self.call = WatchServiceStub(channel).WatchExecution(request)
        self.snapshot: Any = None
        self.sequences: list[int] = []
        self.bookmarks = 0
        self.final_bookmarks = 0
        self.token = ""

    async def read(self) -> bool:
        """Take the next message; False at the end of the stream. Raises AioRpcError."""
        message = await self.call.read()
        if message is grpc.aio.EOF:
            return False
        self.token = message.resume_token
        match message.WhichOneof("message"):
            case "snapshot":
                assert self.snapshot is None
                assert not self.sequences
                self.snapshot = message.snapshot
            case "event":
                self.sequences.append(message.event.sequence)
            case "bookmark":
                self.bookmarks += 1
                self.final_bookmarks += message.bookmark.final
        return True

    async def read_to(self, sequence: int) -> None:
        """Read until the event with this sequence."""
        while not self.sequences or self.sequences[-1] < sequence:
            assert await self.read()

    async def read_all(self) -> None:
        """Read to the end, which must be OK."""
        while await self.read():
            pass
        assert await self.call.code() is grpc.StatusCode.OK

    async def error(self) -> ServiceError:
        """Read to the end, which must be an error."""
        try:
            while await self.read():
                pass
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
        raise AssertionError("the watch ended with OK")
