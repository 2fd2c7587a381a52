"""A real gRPC server on a free port, and a channel to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc.aio

Registration = Callable[[grpc.aio.Server], object]
"""Adds one servicer to the server, such as `lambda server: add_EchoServicer_to_server(Echo(), server)`."""

CONNECT_TIMEOUT_SECONDS = 10.0


@asynccontextmanager
async def grpc_server(
    *registrations: Registration,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    options: Sequence[tuple[str, str | int]] = (),
) -> AsyncIterator[grpc.aio.Channel]:
    """Start a grpc.aio server with these servicers on a free port, and yield a connected channel to it.

    `options` are for the server. The end of the block closes both ends and cancels calls in flight.
    """
    server = grpc.aio.server(interceptors=list(interceptors), options=[("grpc.so_reuseport", 0), *options])
    for register in registrations:
        register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT_SECONDS)
            yield channel
    finally:
        await server.stop(None)
