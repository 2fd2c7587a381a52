"""Pass-through of whole services as bytes: the gateway knows names and kinds of the methods, not messages.

Deadline, cancellation, the caller's metadata, trailing metadata (with the error details) and flow control
go through in both directions. What the peer itself answers is handed on as it is; where there is no peer,
the caller gets UNAVAILABLE (DEPENDENCY_UNAVAILABLE).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from service_kit.errors import (
    DEPENDENCY_UNAVAILABLE,
    DRAINING,
    STATUS_DETAILS_KEY,
    ServiceError,
    resource_exhausted,
    unavailable,
)
from service_kit.server import Registration

PASSED_ON = frozenset({"authorization", "traceparent", "tracestate", "baggage"})
PASSED_ON_PREFIX = "x-"

Metadata = tuple[tuple[str, str | bytes], ...]


class Forwarder:
    """Forwards the methods of one service to the peer at the other end of `channel`.

    `peer` is its name in error messages; `max_streams` bounds the streams that are open at a time.
    """

    def __init__(
        self, service: ServiceDescriptor, channel: grpc.aio.Channel, *, peer: str, max_streams: int
    ) -> None:
        self._service = service
        self._channel = channel
        self._peer = peer
        self._max_streams = max_streams
        self._streams: set[Any] = set()
        self._draining = False

    def registration(self) -> Registration:
        """The service, to be served by this forwarder."""
        handlers = {method.name: self._handler(method) for method in self._service.methods}
        name = self._service.full_name
        return Registration.generic(name, grpc.method_handlers_generic_handler(name, handlers))

    def drain(self) -> None:
        """End the open streams with UNAVAILABLE (DRAINING); calls with one answer go on."""
        self._draining = True
        for call in self._streams:
            call.cancel()

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        path = f"/{self._service.full_name}/{method.name}"
        if not (method.client_streaming or method.server_streaming):
            return grpc.unary_unary_rpc_method_handler(self._unary(path))
        if method.server_streaming and not method.client_streaming:
            return grpc.unary_stream_rpc_method_handler(self._server_stream(path))
        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(self._bidirectional(path))
        raise ValueError(f"{path}: there is no forwarding of methods that stream only requests")

    def _unary(self, path: str) -> Any:
        call_peer = self._channel.unary_unary(path)

        async def forward(request: bytes, context: Any) -> bytes:
            call = call_peer(request, metadata=_passed_on(context), timeout=context.time_remaining())
            try:
                response: bytes = await call
            except grpc.aio.AioRpcError as error:
                await self._refuse(error, context)
            if trailers := _own_trailers(await call.trailing_metadata()):
                context.set_trailing_metadata(trailers)
            return response

        return forward

    def _server_stream(self, path: str) -> Any:
        call_peer = self._channel.unary_stream(path)

        async def forward(request: bytes, context: Any) -> AsyncIterator[bytes]:
            self._admit()
            call = call_peer(request, metadata=_passed_on(context), timeout=context.time_remaining())
            async for response in self._relay(call, context):
                yield response

        return forward

    def _bidirectional(self, path: str) -> Any:
        call_peer = self._channel.stream_stream(path)

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            self._admit()
            call = call_peer(requests, metadata=_passed_on(context), timeout=context.time_remaining())
            async for response in self._relay(call, context):
                yield response

        return forward

    async def _relay(self, call: Any, context: Any) -> AsyncIterator[bytes]:
        """The peer's responses; the peer's call ends when the caller's does."""
        self._streams.add(call)
        try:
            async for response in call:
                yield response
            if trailers := _own_trailers(await call.trailing_metadata()):
                context.set_trailing_metadata(trailers)
        except grpc.aio.AioRpcError as error:
            if self._draining and error.code() is grpc.StatusCode.CANCELLED:
                raise self._drained() from None  # our own cancel, which gRPC may tell either way
            await self._refuse(error, context)
        except asyncio.CancelledError:
            if self._draining and not context.cancelled():
                raise self._drained() from None
            raise
        finally:
            self._streams.discard(call)
            call.cancel()

    def _admit(self) -> None:
        if self._draining:
            raise self._drained()
        if len(self._streams) >= self._max_streams:
            message = f"this gateway forwards {self._max_streams} streams already; try again, or add gateways"
            raise resource_exhausted("OVERLOADED", message)

    async def _refuse(self, error: grpc.aio.AioRpcError, context: Any) -> NoReturn:
        """Hand the peer's error on; say in our own words that there is no peer."""
        trailers = _own_trailers(error.trailing_metadata())
        peer_spoke = any(key == STATUS_DETAILS_KEY for key, _ in trailers)
        if error.code() is grpc.StatusCode.UNAVAILABLE and not peer_spoke:
            message = f"the {self._peer} does not answer; try again in a moment"
            raise unavailable(DEPENDENCY_UNAVAILABLE, message, dependency=self._peer)
        await context.abort(error.code(), error.details() or "", trailers)
        raise AssertionError("abort always raises")

    @staticmethod
    def _drained() -> ServiceError:
        return unavailable(DRAINING, "this gateway is shutting down; call again, another one answers")


def _passed_on(context: Any) -> Metadata:
    """What callers say about themselves and their trace; what belongs to one connection stays behind."""
    return _filtered(context.invocation_metadata())


def _filtered(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    return tuple((k, v) for k, v in metadata or () if k in PASSED_ON or k.startswith(PASSED_ON_PREFIX))


def _own_trailers(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    """All that the peer's handler set, with the details of its error."""
    return tuple((k, v) for k, v in metadata or () if not k.startswith("grpc-") or k == STATUS_DETAILS_KEY)
