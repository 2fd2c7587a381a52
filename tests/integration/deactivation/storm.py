"""Clients that start executions as fast as they are answered, and note when they asked and what was said."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from service_kit.errors import from_rpc_error
from workflowsystem.execution.v1 import execution_service_pb2 as pb

from tests.integration.deactivation.conftest import WORKFLOW
from tests.integration.orchestrator.service import Service, start_request

BATCH = 10


@dataclass(frozen=True, slots=True)
class Start:
    """One start: when it was sent (by the monotonic clock), by which client, and what was answered."""

    sent: float
    client: str
    execution_id: str = ""  # empty: refused
    refusal: str = ""  # the reason
    request_id: str = ""
    is_repeat: bool = False


@dataclass
class History:
    """What every client of a storm has seen."""

    name: str = field(default_factory=lambda: secrets.token_hex(4))  # its request ids are of no other storm
    starts: list[Start] = field(default_factory=list)
    first_answers: dict[str, str] = field(default_factory=dict)  # request id: execution id

    def accepted(self, *, since: float = 0.0) -> list[Start]:
        """Starts sent since then that were accepted, without the repeats of earlier ones."""
        return [
            each for each in self.starts if each.execution_id and not each.is_repeat and each.sent > since
        ]

    def refused(self, *, since: float = 0.0) -> list[Start]:
        """Starts sent since then that were refused."""
        return [each for each in self.starts if each.refusal and each.sent > since]

    def repeats(self, *, since: float = 0.0) -> list[Start]:
        """Repeats sent since then of starts that were accepted before."""
        return [each for each in self.starts if each.is_repeat and each.sent > since]

    @staticmethod
    def clients_of(starts: Iterable[Start]) -> set[str]:
        """Who sent them."""
        return {each.client for each in starts}


@asynccontextmanager
async def storm(services: list[Service]) -> AsyncIterator[History]:
    """Clients of every kind on every orchestrator, for as long as the block lasts; all are answered then."""
    history = History()
    stop = asyncio.Event()
    clients: list[Callable[..., Coroutine[Any, Any, None]]] = [_unary, _unary, _batches, _repeating]
    running = [
        asyncio.create_task(client(services, place, f"{client.__name__}-{number}@{place}", history, stop))
        for place in range(len(services))
        for number, client in enumerate(clients)
    ]
    try:
        yield history
    finally:
        stop.set()
        await asyncio.gather(*running)


async def _unary(
    services: list[Service], place: int, name: str, history: History, stop: asyncio.Event
) -> None:
    for number in count():
        if stop.is_set():
            return
        history.starts.append(await _start(services[place], name, number))


async def _batches(
    services: list[Service], place: int, name: str, history: History, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        requests = [start_request({"n": number}, WORKFLOW) for number in range(BATCH)]
        sent = time.monotonic()
        call = services[place].executions.BatchStartExecutions
        response = await call(pb.BatchStartExecutionsRequest(requests=requests))
        assert len(response.results) == BATCH
        history.starts += [
            Start(sent, name, result.execution.execution_id, _reason_of(result.error))
            for result in response.results
        ]


async def _repeating(
    services: list[Service], place: int, name: str, history: History, stop: asyncio.Event
) -> None:
    """Every start twice: the repeat goes to the next orchestrator, and later ones repeat the very first."""
    accepted = ""
    for number in count():
        if stop.is_set():
            return
        request_id = f"{history.name}-{name}-{number}"
        first = await _start(services[place], name, number, request_id)
        history.starts.append(first)
        if first.execution_id:
            history.first_answers[request_id] = first.execution_id
            accepted = accepted or request_id
        if repeated := request_id if first.execution_id else accepted:
            following = services[(place + 1) % len(services)]
            body = int(repeated.rsplit("-", 1)[1])
            history.starts.append(await _start(following, name, body, repeated, is_repeat=True))


async def _start(
    service: Service, client: str, number: int, request_id: str = "", *, is_repeat: bool = False
) -> Start:
    sent = time.monotonic()
    try:
        started = await service.start({"n": number}, WORKFLOW, request_id=request_id)
    except grpc.aio.AioRpcError as error:
        reason = from_rpc_error(error).reason
        return Start(sent, client, refusal=reason, request_id=request_id, is_repeat=is_repeat)
    return Start(sent, client, started.execution_id, request_id=request_id, is_repeat=is_repeat)


def _reason_of(status: status_pb2.Status) -> str:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return ""
