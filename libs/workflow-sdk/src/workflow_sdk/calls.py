"""How the client calls: deadlines, retries of UNAVAILABLE, and the last consistency token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from workflowsystem.type.v1 import read_consistency_pb2

from workflow_sdk.backoff import Backoff
from workflow_sdk.errors import UnavailableError, WorkflowError, from_rpc_error

DEFAULT_TIMEOUT_SECONDS = 30.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
Answer = TypeVar("Answer")


def channel_options() -> list[tuple[str, int]]:
    """Keepalive that the services allow, and fast reconnects."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0),  # the http_proxy of a shell is for the Internet, not for services
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def cancelled_here() -> bool:
    """Whether the running asyncio task was cancelled: calls that the *other* side cancels look the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Caller:
    """Sends the unary calls to one service; remembers the newest consistency token of its answers.

    Each service may have a database of its own, and the token of one means nothing to another. So a client
    has a caller for each service.
    """

    def __init__(
        self,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        metadata: tuple[tuple[str, str], ...] = (),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.timeout = timeout
        self.metadata = metadata
        self.sleep = sleep
        self.monotonic = monotonic
        self._token = ""
        self._token_changes = 0

    @property
    def consistency_token(self) -> str:
        """The newest token; empty before the first mutation."""
        return self._token

    @property
    def token_changes(self) -> int:
        """How often the known token has changed. Read it before a call, and give it to `remember`."""
        return self._token_changes

    async def call(
        self,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        *,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> Answer:
        """The answer. Raises WorkflowError.

        A `repeatable` call is sent again while nobody answers, until `timeout` seconds (the caller's, if
        None) are over.
        """
        deadline = self.monotonic() + (self.timeout if timeout is None else timeout)
        backoff = Backoff()
        while True:
            changes = self._token_changes
            try:
                answer = await method(
                    request, timeout=max(0.001, deadline - self.monotonic()), metadata=self.metadata
                )
            except (grpc.RpcError, asyncio.CancelledError) as error:
                if cancelled_here():
                    raise
                wait = backoff.next()
                failure = failure_of(error)
                again = repeatable and isinstance(failure, UnavailableError)
                if not again or self.monotonic() + wait >= deadline:
                    raise failure from None
                await self.sleep(wait)
            else:
                self.remember(getattr(answer, "consistency_token", ""), changes)
                return answer

    def remember(self, token: str, changes_before: int) -> None:
        """Keep the token of an answer if it is newer than the known one.

        `changes_before` is `token_changes` from before the call.

        Answers may arrive in another order than their commits. Of two tokens of a service the greater text is
        the newer one (the contract promises that, and nothing else about the text). But if the known token
        had arrived before the call began, a smaller one proves that the service has another database now.
        Then the known token belongs to a past that is gone.
        """
        if not token:
            return
        known_is_older = changes_before == self._token_changes
        if known_is_older or token > self._token:
            self._token = token
            self._token_changes += 1

    def consistency(self, strong: bool) -> read_consistency_pb2.ReadConsistency:
        """How fresh a read must be: from the primary, or at least as new as what this client has done."""
        if strong:
            return read_consistency_pb2.ReadConsistency(
                level=read_consistency_pb2.ReadConsistency.LEVEL_STRONG
            )
        if self._token:
            return read_consistency_pb2.ReadConsistency(consistency_token=self._token)
        return read_consistency_pb2.ReadConsistency()


def failure_of(error: BaseException) -> WorkflowError:
    """What a call failed with, as the exception for it."""
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error)
    return UnavailableError(
        "the other side cancelled the call: send it again", code=grpc.StatusCode.CANCELLED
    )
