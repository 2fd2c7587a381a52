"""A client that knows nothing but the contract of WatchExecution, and notes everything that it is told."""

import asyncio
from typing import Any

import grpc
from workflowsystem.execution.v1.event_pb2 import ExecutionEventType
from workflowsystem.gateway.v1 import watch_service_pb2, watch_service_pb2_grpc

RECONNECT_SECONDS = 0.05
OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]


class Watcher:
    """Watches one execution to its end, over every break of the connection.

    It leaves out nothing and puts nothing right: what the gateway sends twice is in `events` twice.
    """

    def __init__(self, gateway: str, execution_id: str) -> None:
        self.events: list[Any] = []
        self.breaks = 0
        self.after = 0
        """The last event that the snapshot already contained."""
        self._gateway = gateway
        self._execution_id = execution_id
        self._token = ""
        self._ended = asyncio.Event()

    @property
    def sequences(self) -> list[int]:
        """The numbers of the events as they came."""
        return [event.sequence for event in self.events]

    def of_type(self, name: str) -> list[Any]:
        """The events of one type."""
        number = ExecutionEventType.Value(f"EXECUTION_EVENT_TYPE_{name}")
        return [event for event in self.events if event.type == number]

    async def ended(self) -> None:
        """Wait until the stream has ended with OK."""
        await self._ended.wait()

    async def run(self) -> None:
        """Watch until the stream ends with OK; on any other end go on from the last token."""
        async with grpc.aio.insecure_channel(self._gateway, options=OPTIONS) as channel:
            stub = watch_service_pb2_grpc.WatchServiceStub(channel)
            while not self._ended.is_set():
                try:
                    await self._one_stream(stub)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    self.breaks += 1
                    await asyncio.sleep(RECONNECT_SECONDS)

    async def _one_stream(self, stub: Any) -> None:
        request = watch_service_pb2.WatchExecutionRequest(
            execution_id=self._execution_id, resume_token=self._token
        )
        async for message in stub.WatchExecution(request):
            self._token = message.resume_token or self._token
            match message.WhichOneof("message"):
                case "snapshot":
                    assert not self.events, "a resumed watch began anew"
                    self.after = message.snapshot.last_sequence
                case "event":
                    self.events.append(message.event)
        self._ended.set()
