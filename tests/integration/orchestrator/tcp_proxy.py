"""A wire between two ends that a test can cut, mend, slow down, and fill with silence.

cut()        refuses new connections and breaks those that there are: a server that crashed
swallow()    takes connections and bytes, and answers nothing: a server that hangs, a host that vanished
swallow(new_too=False)  the same for those connections only that there are: an address that moved
delay(s)     passes everything on, each piece `s` seconds late: a long way
mend()       passes on again what is new. What was swallowed stays swallowed, as on a real network
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class TcpProxy:
    """Listens at a port of its own, and passes bytes on for as long as it is whole."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallows_new = False
        self._delay_seconds = 0.0
        self.swallowed_bytes = 0
        self.port = 0

    async def mend(self) -> None:
        """Listen (again), at the same port, and pass on what new connections send."""
        self._swallows_new = False
        self._delay_seconds = 0.0
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse new connections and break those that there are, also those that were swallowed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        self._silent.clear()

    def swallow(self, *, new_too: bool = True) -> int:
        """Swallow what is sent from now on, in both directions; return how many connections there were."""
        self._swallows_new = new_too
        self._silent |= self._writers
        return len(self._writers) // 2

    def delay(self, seconds: float) -> None:
        """Pass on each piece this much later."""
        self._delay_seconds = seconds

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._connect_through(reader, writer))

    async def _connect_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._swallows_new:
            self._silent.add(writer)
            await self._pass_on(reader, writer)
            return
        there_reader, there_writer = await self._connect()
        self._writers.add(there_writer)
        self._begin(self._pass_on(reader, there_writer))
        self._begin(self._pass_on(there_reader, writer))

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    await self._pass_piece(data, writer)
        finally:
            if writer not in self._silent:  # nor does the end of one side reach the other
                self._writers.discard(writer)
                writer.transport.abort()

    async def _pass_piece(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        if writer in self._silent:
            self.swallowed_bytes += len(data)
            return
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def proxy_to(connect: Connect) -> AsyncIterator[TcpProxy]:
    proxy = TcpProxy(connect)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.cut()


@asynccontextmanager
async def proxy_to_postgres(database_url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy to the server behind a URL of testkit (a Unix socket), and the URL that leads through it."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    async with proxy_to(lambda: asyncio.open_unix_connection(socket)) as proxy:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}"
