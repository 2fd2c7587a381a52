"""aio servicers under grpcio-testing: no port, no wire, and a clock that only the test moves.

grpcio-testing is synchronous: it calls the methods of a servicer in a separate thread. This module gives it
synchronous methods that run the asynchronous ones on an event loop. They pass through the interceptors of the
real server, from serialized request to serialized response.

    with TestServer(lambda server: add_EchoServicer_to_server(Echo(), server)) as server:
        answer = server.call("/test.v1.Echo/Say", SayRequest(text="hi"), timeout=5)
        assert (answer.code, answer.response.text) == (grpc.StatusCode.OK, "hi")

It does not test flow control, keepalive, or anything else on the wire: use `testkit.grpc_server` for these.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Any, NamedTuple, Self

import grpc
import grpc_testing
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc.aio import AbortError, ServerInterceptor

Registration = Callable[[Any], object]
"""Adds one servicer to a server: `lambda server: add_EchoServicer_to_server(Echo(), server)`."""

Metadata = Sequence[tuple[str, str]]
RUN_SECONDS = 10.0
_END = object()
_ADDED_KEY = "grpc.metadata_added_by_runtime"  # grpc_testing puts it into all metadata, as gRPC may


class Answer(NamedTuple):
    """The end of a unary call."""

    response: Any  # None if the code is not OK
    code: grpc.StatusCode
    details: str
    trailing_metadata: Mapping[str, Any]


class TestServer:
    """A server of grpc_testing with aio servicers. Use it as a context: it runs an event loop in a thread."""

    __test__ = False  # pytest would take the class for a test because of its name

    def __init__(self, *registrations: Registration, interceptors: Sequence[ServerInterceptor] = ()) -> None:
        self.time = grpc_testing.strict_fake_time(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc-testing", daemon=True)
        self._interceptors = tuple(interceptors)
        collector = _Collector()
        for register in registrations:
            register(collector)
        pool = descriptor_pool.Default()
        services = {
            pool.FindServiceByName(name): _Service(self, name, handlers)
            for name, handlers in collector.services.items()
        }
        self._server = grpc_testing.server_from_dictionary(services, self.time)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop of the servicers, and return its result."""
        return self.submit(work).result(RUN_SECONDS)

    def submit(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        """Start a coroutine on the event loop of the servicers."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(
        self, method: str, request: Message, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> Answer:
        """Make a unary call and wait for its end. `timeout` is in seconds of `self.time`."""
        return answer_of(self.begin(method, request, timeout=timeout, metadata=metadata))

    def begin(
        self, method: str, request: Message, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> Any:
        """Start a unary call. Pass it to `answer_of`, or `cancel()` it."""
        return self._server.invoke_unary_unary(_descriptor(method), tuple(metadata), request, timeout)

    def stream(
        self, method: str, request: Message, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> Any:
        """Start a call with a stream of responses: `take_response()`, `cancel()`, `termination()`."""
        return self._server.invoke_unary_stream(_descriptor(method), tuple(metadata), request, timeout)

    async def handler_of(self, method: str, handler: Any) -> Any:
        """Return the handler of a method behind the interceptors; the first interceptor is the outermost."""

        async def innermost(_: Any) -> Any:
            return handler

        continuation = innermost
        for interceptor in reversed(self._interceptors):
            continuation = _behind(interceptor, continuation)
        return await continuation(_CallDetails(method, ()))


def answer_of(rpc: Any) -> Answer:
    """Wait for the end of a call, and return it."""
    response, trailers, code, details = rpc.termination()
    own = {key: value for key, value in trailers if key != _ADDED_KEY}
    return Answer(response if code is grpc.StatusCode.OK else None, code, details, own)


def _descriptor(method: str) -> Any:
    service, _, name = method.removeprefix("/").rpartition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def _behind(interceptor: ServerInterceptor, continuation: Any) -> Any:
    async def intercepted(details: Any) -> Any:
        return await interceptor.intercept_service(continuation, details)

    return intercepted


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _CallDetails(NamedTuple):
    method: str
    invocation_metadata: Metadata


class _Collector:
    """Collects the handlers of servicers in the place of a server."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}

    def add_generic_rpc_handlers(self, _: Any) -> None:
        """Ignore the handlers in the form for the wire."""

    def add_registered_method_handlers(self, name: str, handlers: dict[str, Any]) -> None:
        self.services[name] = handlers


class _Service:
    """A synchronous servicer for grpc_testing."""

    def __init__(self, server: TestServer, name: str, handlers: Mapping[str, Any]) -> None:
        self._server = server
        self._name = name
        self._handlers = handlers

    def __getattr__(self, method: str) -> Any:
        path = f"/{self._name}/{method}"
        handler = self._server.run(self._server.handler_of(path, self._handlers[method]))
        output = message_factory.GetMessageClass(_descriptor(path).output_type)
        convert = _Conversion(handler, output)
        serve = self._stream if handler.response_streaming else self._unary
        return lambda request, context: serve(convert, request, context)

    def _unary(self, convert: "_Conversion", request: Message, context: Any) -> Any:
        work = convert.handler.unary_unary(convert.request(request), _AioContext(context))
        future = self._begin(work, context)
        try:
            return convert.response(future.result())
        except (AbortError, CancelledError):
            return None  # the context has the code

    def _stream(self, convert: "_Conversion", request: Message, context: Any) -> Iterator[Any]:
        responses: SimpleQueue[Any] = SimpleQueue()

        async def pump() -> None:
            try:
                served = convert.handler.unary_stream(convert.request(request), _AioContext(context))
                async for response in served:
                    responses.put(convert.response(response))
            finally:
                responses.put(_END)

        future = self._begin(pump(), context)
        while (response := responses.get()) is not _END:
            yield response
        try:
            future.result()
        except (AbortError, CancelledError):
            return

    def _begin(self, work: Any, context: Any) -> "Future[Any]":
        """As on a real server the handler is cancelled when the call is over: by its caller, or by time."""
        future = self._server.submit(work)
        if not context.add_callback(future.cancel):
            future.cancel()
        return future


class _Conversion:
    """Messages as they come out of the wire and go into it."""

    def __init__(self, handler: Any, output: type[Message]) -> None:
        self.handler = handler
        self._output = output

    def request(self, message: Message) -> Any:
        wire, read = message.SerializeToString(), self.handler.request_deserializer
        return wire if read is None else read(wire)

    def response(self, message: Any) -> Message:
        return self._output.FromString(self.handler.response_serializer(message))


class _AioContext:
    """The part of grpc.aio's ServicerContext that handlers and interceptors use, over a context of
    grpc_testing.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._code: grpc.StatusCode | None = None
        self._trailers: tuple[Any, ...] = ()

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[Any] = ()
    ) -> None:
        # Do not use the abort of the other context, because it forgets the trailing metadata.
        self.set_code(code)
        self.set_details(details)
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        raise AbortError

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code
        self._context.set_code(code)

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def set_details(self, details: str) -> None:
        self._context.set_details(details)

    def set_trailing_metadata(self, metadata: Sequence[Any]) -> None:
        self._trailers = tuple(metadata)
        self._context.set_trailing_metadata(self._trailers)

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self._trailers

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def time_remaining(self) -> float | None:
        remaining: float | None = self._context.time_remaining()
        return remaining
