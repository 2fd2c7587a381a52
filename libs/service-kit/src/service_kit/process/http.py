"""The small HTTP server of every service: /livez, /readyz, /metrics, and /health if the service has one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service_kit.process.health import HealthChecks, RecentReport

HealthAnswer = Callable[[], Awaitable[tuple[int, Mapping[str, Any]]]]
BACKLOG = 512
STOP_SECONDS = 3

log = structlog.get_logger(__name__)


def make_app(
    checks: HealthChecks,
    *,
    health: HealthAnswer | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> Starlette:
    """Return the ASGI application.

    `/livez` answers 200 while the event loop runs. `/readyz` answers 200, or 503 with the names of the needed
    checks that fail; its body shows the problem of every check, at most half a second old. `/metrics` is for
    Prometheus. If `health` is given, `/health` answers its status code and JSON.
    """
    recent_report = RecentReport(checks)

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        report = await recent_report()
        body = {result.name: result.problem or "ok" for result in report.results}
        status = "ready" if report.ok else "not ready: " + ", ".join(report.failing)
        return JSONResponse({"status": status, "checks": body}, 200 if report.ok else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def answer_health(_: Request) -> Response:
        assert health is not None
        status_code, body = await health()
        return JSONResponse(dict(body), status_code)

    own = [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    if health is not None:
        own.append(Route("/health", answer_health))
    return Starlette(routes=own)


class HttpServer:
    """Serves an ASGI application in the running event loop. Signals and logging belong to the service."""

    def __init__(self, listen: str, app: Any) -> None:
        self.port = 0
        self._listen = listen
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            loop="none",
            workers=1,  # or uvicorn reads WEB_CONCURRENCY
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen at `host:port` (port 0 takes a free one), and return the port.

        An OSError names the address.
        """
        sock = _bind(self._listen)
        self.port = sock.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]))
        self._task.add_done_callback(lambda _: sock.close())
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError(f"the HTTP server at {self._listen} stopped while it started: see the log")
            await asyncio.sleep(0.005)
        log.info("http_server_started", listen=self._listen, port=self.port)
        return self.port

    async def stop(self) -> None:
        """Accept no new connections, and give requests in flight 3 s to finish. May be repeated."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task])


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not handle signals: that is the task of the service."""
        yield


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, int(port)))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        hint = f"cannot listen at {listen}: {error.strerror}; free it, or set HTTP_LISTEN to another address"
        raise OSError(error.errno, hint) from None
    sock.setblocking(False)
    return sock
