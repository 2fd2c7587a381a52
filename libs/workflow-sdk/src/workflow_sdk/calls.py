"""How the client makes calls: deadlines, retries, and the newest consistency token."""

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
    """Return options for keepalive, within what the services allow, and for fast reconnects."""
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0),  # http_proxy in a shell is for the Internet, not for services
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def cancelled_here() -> bool:
    """Return whether this asyncio task was cancelled. A call that the *other* side cancels looks the same."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Caller:
    """Sends unary calls to one service, and remembers the newest consistency token of its answers.

    Each service may have its own database, so a token of one service means nothing to another. Therefore a
    client has one caller for each service.
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
        """How often the token has changed. Read this before a call, and pass it to `remember`."""
        return self._token_changes

    async def call(
        self,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        *,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> Answer:
        """Make a call and return the answer. Raises WorkflowError.

        If nobody answers, send a `repeatable` call again, for up to `timeout` seconds (None: the caller's).
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

        Answers may arrive in another order than their commits. The newer of two tokens is the greater text,
        which is all that the contract promises about the text. There is one exception. If the known token
        arrived before the call began and the new one is smaller, the service has another database now, and
        the known token means nothing there.
        """
        if not token:
            return
        known_is_older = changes_before == self._token_changes
        if known_is_older or token > self._token:
            self._token = token
            self._token_changes += 1

    def consistency(self, strong: bool) -> read_consistency_pb2.ReadConsistency:
        """Return how fresh a read must be: from the primary, or including this client's own changes."""
        if strong:
            return read_consistency_pb2.ReadConsistency(
                level=read_consistency_pb2.ReadConsistency.LEVEL_STRONG
            )
        if self._token:
            return read_consistency_pb2.ReadConsistency(consistency_token=self._token)
        return read_consistency_pb2.ReadConsistency()


def failure_of(error: BaseException) -> WorkflowError:
    """Return the exception for the error of a call."""
    if isinstance(error, grpc.RpcError):
        return from_rpc_error(error)
    return UnavailableError(
        "the other side cancelled the call: send it again", code=grpc.StatusCode.CANCELLED
    )
