"""The one interceptor of every server, for all four kinds of RPC: errors, validation, metrics, log context.

- An error of a handler becomes a status: a ServiceError keeps its code and details. Any other error becomes
  INTERNAL with an error id, and its text goes to the log only. `context.abort` works as usual.
- Before the handler runs, the interceptor parses the request, and checks its text and its rules. If the
request
  is large, it does this on a thread.
- `grpc_server_started_total`, `_handled_total` and `_handling_seconds` count every call, and
  `_msg_received_total` and `_msg_sent_total` every message.
- Log lines of a call have `rpc`, `request_id` and `traceparent` (see telemetry).

Everything that does not depend on the call is done once for each method.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, NoReturn

import grpc
import structlog
from grpc.aio import AbortError, InternalError, ServerInterceptor, UsageError

from service_kit.errors import (
    METHOD_NOT_FOUND,
    STATUS_DETAILS_KEY,
    ServiceError,
    internal,
    to_status,
    unimplemented,
)
from service_kit.rpc.call_room import CallRoom
from service_kit.rpc.request_check import parse, parse_and_check
from service_kit.rpc.rpc_metrics import MethodMetrics, RpcMetrics, status_code
from service_kit.tools.heavy import LARGE_BYTES, HeavyThread
from service_kit.tools.ids import new_uuid7
from service_kit.tools.rpc_call import RpcCall, current_call

MAX_CACHED_METHODS = 1_024
MAX_SHOWN_METHOD_CHARS = 200

log = structlog.get_logger(__name__)
MapError = Callable[[Exception], ServiceError | None]
ReadRequest = Callable[[bytes], Awaitable[Any]]


class RpcInterceptor(ServerInterceptor):
    """Wraps the handlers of a `grpc.aio` server.

    `map_error` returns the ServiceError for an exception of the service, or None: then the call fails with
    INTERNAL. Messages of the methods in `unchecked` (full names, `/package.Service/Method`) are parsed only:
    their handlers check what they need, because these methods are hot. `methods` are the full names of all
    methods that are served: if a caller asks for another one, the error suggests the nearest name. Each call
    takes a place in `room`, except calls of the services `always_served`.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        *,
        map_error: MapError | None = None,
        unchecked: Collection[str] = (),
        methods: Collection[str] = (),
        room: CallRoom | None = None,
        always_served: Collection[str] = (),
    ) -> None:
        self._metrics = metrics
        self._map_error = map_error
        self._unchecked = frozenset(unchecked)
        self._thread = HeavyThread("requests")
        self._wrapped: dict[str, tuple[Any, Any]] = {}
        self._methods = tuple(methods)
        self._room = room or CallRoom()
        self._always_served = frozenset(always_served)
        # One name for all unknown methods, because callers could make up any number of names.
        self._unknown = _MethodCall(
            "unknown", metrics.method("unary", "unknown", "unknown"), map_error, CallRoom()
        )

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Return the handler that serves the RPC; gRPC calls this for every RPC."""
        handler = await continuation(details)
        if handler is None:
            return self._refusal(details.method)
        method = details.method
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        wrapped = self._wrap(method, handler)
        if len(self._wrapped) < MAX_CACHED_METHODS:
            self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _refusal(self, method: str) -> Any:
        """Return a handler for an unknown method; gRPC itself would answer without a reason."""

        async def refuse(_: Any, __: Any) -> None:
            raise method_not_found(method, self._methods)

        return grpc.stream_stream_rpc_method_handler(self._unknown.answer_once(refuse, None))

    def _wrap(self, method: str, handler: Any) -> Any:
        service, _, name = method.removeprefix("/").rpartition("/")
        grpc_type, attribute = _KINDS[handler.request_streaming, handler.response_streaming]
        metrics = self._metrics.method(grpc_type, service, name)
        room = CallRoom() if service in self._always_served else self._room
        call = _MethodCall(method, metrics, self._map_error, room)
        deserialize = handler.request_deserializer
        check = None if deserialize is None else partial(self._reader(method), deserialize)
        read = _counted(metrics.received, check)
        write = _counted(metrics.sent, handler.response_serializer)
        behaviour = getattr(handler, attribute)
        unary_read = None if handler.request_streaming else self._unary(read, parses=check is not None)
        if not handler.response_streaming:
            served = call.answer_once(behaviour, unary_read)
        elif inspect.isasyncgenfunction(behaviour):
            served = call.answer_by_generator(behaviour, unary_read)
        else:
            served = call.answer_once(behaviour, unary_read)  # the handler writes to the context
        # Parse a unary request inside `served`, which can answer an error. gRPC parses a message of a stream
        # when the handler asks for it, so the handler raises the error.
        make = getattr(grpc, f"{attribute}_rpc_method_handler")
        outer = read if handler.request_streaming else None
        return make(served, request_deserializer=outer, response_serializer=write)

    def _unary(self, read: Callable[[bytes], Any], *, parses: bool) -> ReadRequest:
        """Return a function that reads small requests at once, and parses large ones on a thread."""
        thread = self._thread if parses else None

        async def read_request(request: bytes) -> Any:
            if thread is None or len(request) <= LARGE_BYTES:
                return read(request)
            return await thread.run(len(request), read, request)

        return read_request

    def _reader(self, method: str) -> Callable[[Callable[[bytes], Any], bytes], Any]:
        return parse if method in self._unchecked else parse_and_check


def _counted(count: Callable[[], None], convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return a function that counts a message and converts it; without `convert` it passes the bytes on."""

    def convert_and_count(message: Any) -> Any:
        count()
        return message if convert is None else convert(message)

    return convert_and_count


class _MethodCall:
    """Serves the calls of one method."""

    def __init__(
        self, method: str, metrics: MethodMetrics, map_error: MapError | None, room: CallRoom
    ) -> None:
        self._room = room
        self._method = method
        self._metrics = metrics
        self._map_error = map_error

    def answer_once(self, behaviour: Any, read: ReadRequest | None) -> Any:
        """Serve a handler that is a coroutine: it returns one response, or writes a stream to the context."""
        metrics, method, room = self._metrics, self._method, self._room

        async def serve(request: Any, context: Any) -> Any:
            started = time.perf_counter()
            metrics.started()
            rpc = RpcCall(method, context)
            current_call.set(rpc)
            try:
                with room:
                    response = await behaviour(request if read is None else await read(request), context)
            except BaseException as error:
                await self._failed(error, context, started)
            finally:
                rpc.end()
            metrics.finished(status_code(context.code()), time.perf_counter() - started)
            return response

        return serve

    def answer_by_generator(self, behaviour: Any, read: ReadRequest | None) -> Any:
        """Serve a handler that is an async generator."""
        metrics, method, room = self._metrics, self._method, self._room

        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            metrics.started()
            rpc = RpcCall(method, context)
            current_call.set(rpc)
            try:
                with room:
                    asked = request if read is None else await read(request)
                    async with aclosing(behaviour(asked, context)) as responses:
                        async for response in responses:
                            yield response
            except BaseException as error:
                await self._failed(error, context, started)
            finally:
                rpc.end()
            metrics.finished(status_code(context.code()), time.perf_counter() - started)

        return serve

    async def _failed(self, error: BaseException, context: Any, started: float) -> NoReturn:
        """Count the call and end it with the status of `error`."""
        seconds = time.perf_counter() - started
        if not isinstance(error, Exception):
            self._metrics.finished(_cancelled_code(context), seconds)
            raise error
        if isinstance(error, AbortError):
            self._metrics.finished(status_code(context.code()), seconds)
            raise error
        if isinstance(error, InternalError):  # from gRPC: the call ended while the handler wrote or aborted
            self._metrics.finished(_cancelled_code(context), seconds)
            raise asyncio.CancelledError("the call has ended") from error
        service_error = self._as_service_error(error)
        self._metrics.finished(service_error.code, seconds)
        await abort(context, service_error)

    def _as_service_error(self, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        mapped = self._map_error(error) if self._map_error is not None else None
        if mapped is not None:
            if mapped.code is grpc.StatusCode.UNAVAILABLE:
                log.warning("dependency_failed", rpc=self._method, error=repr(error))
            return mapped
        error_id = str(new_uuid7())
        log.error("rpc_failed", error_id=error_id, rpc=self._method, exc_info=error)
        return internal(error_id)


def method_not_found(method: str, served: Collection[str]) -> ServiceError:
    """Return an UNIMPLEMENTED error with the name in `served` that is most similar to `method`."""
    shown = method[:MAX_SHOWN_METHOD_CHARS]
    nearest = difflib.get_close_matches(shown, served, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else "reflection lists the methods"
    return unimplemented(METHOD_NOT_FOUND, f"there is no method {shown} here: {hint}", method=shown)


async def abort(context: Any, error: ServiceError) -> NoReturn:
    """End the call with `error` as rich status. Keep the trailing metadata that the handler has set."""
    status = to_status(error)
    kept = tuple(context.trailing_metadata() or ())
    trailers = (*kept, (STATUS_DETAILS_KEY, status.SerializeToString()))
    await abort_with(context, error.code, status.message, trailers)


async def abort_with(
    context: Any, code: grpc.StatusCode, message: str, trailers: Sequence[tuple[str, str | bytes]]
) -> NoReturn:
    """End the call with this status. Raise CancelledError if the call has ended already.

    A call may end at any moment, because its caller leaves or its deadline passes. Nobody reads its status
    then.
    """
    with suppress(InternalError, UsageError):  # from gRPC, if the call has ended
        await context.abort(code, message, tuple(trailers))
    raise asyncio.CancelledError(f"the call ended before its status {code.name} could be sent")


def _cancelled_code(context: Any) -> grpc.StatusCode:
    """Return the code of a cancelled handler: the caller left, or the deadline passed."""
    remaining = context.time_remaining()
    expired = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


_KINDS = {
    (False, False): ("unary", "unary_unary"),
    (False, True): ("server_stream", "unary_stream"),
    (True, False): ("client_stream", "stream_unary"),
    (True, True): ("bidi_stream", "stream_stream"),
}
