"""Pass-through of whole services as bytes: the gateway knows the methods, but not their messages.

The gateway passes on deadline, cancellation, the caller's metadata, trailing metadata (with the error
details) and flow control. It does not change the peer's answers. If the connection to the peer fails instead,
the caller gets UNAVAILABLE (DEPENDENCY_UNAVAILABLE).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from service_kit.errors import (
    DEPENDENCY_UNAVAILABLE,
    DRAINING,
    OVERLOADED,
    STATUS_DETAILS_KEY,
    ServiceError,
    resource_exhausted,
    unavailable,
)
from service_kit.rpc.interceptors import abort_with
from service_kit.rpc.server import Registration

PASSED_ON = frozenset({"authorization", "traceparent", "tracestate", "baggage"})
PASSED_ON_PREFIX = "x-"
READ_SECONDS = 1.0
"""How long calls that only read or wait may go on in a drain. Their callers ask again and lose nothing."""

Metadata = tuple[tuple[str, str | bytes], ...]

# The codes with which gRPC's client reports a connection that failed during a call. If a service of this
# system answers with one of these codes, it sends details too.
_BROKEN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
    }
)


class Forwarder:
    """Forwards the methods of one service to the peer at the other end of `channel`.

    `peer` is its name in error messages. `max_streams` limits the open streams. `waiting` names further
    methods that a drain may end, besides those that the contract marks as reads: they only wait before they
    answer. `stream_seconds` returns the age at which a stream of answers ends; None means that it never does.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        channel: grpc.aio.Channel,
        *,
        peer: str,
        max_streams: int,
        waiting: Collection[str] = (),
        stream_seconds: Callable[[], float | None] = lambda: None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._read_seconds = read_seconds
        self._service = service
        self._channel = channel
        self._peer = peer
        self._max_streams = max_streams
        self._waiting = frozenset(waiting)
        self._stream_seconds = stream_seconds
        self._streams: set[Any] = set()
        self._reads: set[Any] = set()
        self._ends: dict[Any, ServiceError] = {}
        self._draining = False
        self._reads_ended = False

    def registration(self) -> Registration:
        """Return the registration of the service with this forwarder as its handler."""
        handlers = {method.name: self._handler(method) for method in self._service.methods}
        name = self._service.full_name
        return Registration.generic(name, grpc.method_handlers_generic_handler(name, handlers))

    async def drain(self) -> None:
        """End open streams with UNAVAILABLE (DRAINING) now, and calls that only read or wait after 1 s.

        Other calls continue, because their callers need the answer.
        """
        self._draining = True
        for call in self._streams:
            self._end(call, _drained())
        asyncio.get_running_loop().call_later(self._read_seconds, self._end_reads)

    def _end_reads(self) -> None:
        self._reads_ended = True
        for call in self._reads:
            self._end(call, _drained())

    def _end(self, call: Any, error: ServiceError) -> None:
        """Cancel the call to the peer; its caller gets `error`."""
        self._ends[call] = error
        call.cancel()

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        path = f"/{self._service.full_name}/{method.name}"
        if not (method.client_streaming or method.server_streaming):
            is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
            may_end = is_read or method.name in self._waiting
            return grpc.unary_unary_rpc_method_handler(self._unary(path, may_end))
        if method.server_streaming and not method.client_streaming:
            return grpc.unary_stream_rpc_method_handler(self._server_stream(path))
        if method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(self._bidirectional(path))
        raise ValueError(f"{path} streams only its requests: the forwarder does not support such methods")

    def _unary(self, path: str, may_end: bool) -> Any:
        call_peer = self._channel.unary_unary(path)

        async def forward(request: bytes, context: Any) -> bytes:
            if may_end and self._reads_ended:
                raise _drained()
            call = call_peer(request, metadata=_passed_on(context), timeout=context.time_remaining())
            if may_end:
                self._reads.add(call)
            try:
                response: bytes = await call
                if trailers := _own_trailers(await call.trailing_metadata()):
                    context.set_trailing_metadata(trailers)
                return response
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                await self._refuse(error, call, context)
            finally:
                self._reads.discard(call)
                self._ends.pop(call, None)

        return forward

    def _server_stream(self, path: str) -> Any:
        call_peer = self._channel.unary_stream(path)

        async def forward(request: bytes, context: Any) -> AsyncIterator[bytes]:
            self._admit()
            call = call_peer(request, metadata=_passed_on(context), timeout=context.time_remaining())
            async for response in self._relay(call, context, self._stream_seconds()):
                yield response

        return forward

    def _bidirectional(self, path: str) -> Any:
        call_peer = self._channel.stream_stream(path)

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            self._admit()
            call = call_peer(requests, metadata=_passed_on(context), timeout=context.time_remaining())
            async for response in self._relay(call, context, None):  # the peer asks its clients to leave
                yield response

        return forward

    async def _relay(self, call: Any, context: Any, seconds: float | None) -> AsyncIterator[bytes]:
        """Yield the peer's responses for at most `seconds`.

        The call to the peer ends with the caller's call.
        """
        self._streams.add(call)
        age = None
        if seconds is not None:
            age = asyncio.get_running_loop().call_later(seconds, self._end, call, _too_old())
        try:
            async for response in call:
                yield response
            if trailers := _own_trailers(await call.trailing_metadata()):
                context.set_trailing_metadata(trailers)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            await self._refuse(error, call, context)
        finally:
            if age is not None:
                age.cancel()
            self._streams.discard(call)
            self._ends.pop(call, None)
            call.cancel()

    def _admit(self) -> None:
        if self._draining:
            raise _drained()
        if len(self._streams) >= self._max_streams:
            message = f"this gateway already forwards {self._max_streams} streams; try again, or add gateways"
            raise resource_exhausted(OVERLOADED, message)

    async def _refuse(
        self, error: grpc.aio.AioRpcError | asyncio.CancelledError, call: Any, context: Any
    ) -> NoReturn:
        """End the caller's call with the gateway's reason, if it ended the call, or with the peer's error."""
        own = self._ends.get(call)
        if isinstance(error, asyncio.CancelledError):
            if own is not None and not context.cancelled():
                raise own from None
            raise error
        if own is not None and error.code() is grpc.StatusCode.CANCELLED:
            raise own from None  # gRPC may report the gateway's cancellation in either way
        trailers = _own_trailers(error.trailing_metadata())
        if not any(key == STATUS_DETAILS_KEY for key, _ in trailers):
            self._refuse_for_the_connection(error)
        await abort_with(context, error.code(), error.details() or "", trailers)

    def _refuse_for_the_connection(self, error: grpc.aio.AioRpcError) -> None:
        """Raise ServiceError if gRPC itself ended the call, and the peer sent no error."""
        if error.code() in _BROKEN:
            message = f"the {self._peer} does not answer; try again in a moment"
            raise unavailable(DEPENDENCY_UNAVAILABLE, message, dependency=self._peer) from None
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            message = (
                f"the answer of the {self._peer} is too large for one message ({error.details()}): ask for"
                " less, such as a smaller page or a view without payloads"
            )
            raise resource_exhausted("PAYLOAD_TOO_LARGE", message) from None


def _drained() -> ServiceError:
    return unavailable(DRAINING, "this gateway is shutting down; call again, and another one answers")


def _too_old() -> ServiceError:
    return unavailable(
        DRAINING, "this stream has reached its maximum age; open it again after the last event"
    )


def _passed_on(context: Any) -> Metadata:
    """Return the metadata about the caller and its trace, without the metadata of the connection."""
    return _filtered(context.invocation_metadata())


def _filtered(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    return tuple((k, v) for k, v in metadata or () if k in PASSED_ON or k.startswith(PASSED_ON_PREFIX))


def _own_trailers(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    """Return the trailers that the peer's handler set, including the details of its error."""
    return tuple((k, v) for k, v in metadata or () if not k.startswith("grpc-") or k == STATUS_DETAILS_KEY)
