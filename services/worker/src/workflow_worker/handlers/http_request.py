"""`http.request`: one HTTP request as a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
from workflow_sdk import NonRetryableError, TaskContext, TaskFailure, task

from workflow_worker.handlers import http_body
from workflow_worker.handlers.addresses import AddressDeniedError, AddressPolicy
from workflow_worker.handlers.http_input import (
    ACCEPTED_CODINGS,
    IDEMPOTENCY_KEY,
    RequestInput,
    checked_url,
    invalid,
    parse,
    shown,
)

MAX_REDIRECTS = 5
NEXT_ADDRESS_SECONDS = 2.0
"""How long a connection to one address of a host may take before the next address is tried."""
RETRYABLE_CLIENT_STATUSES = (408, 429)
_SHOWN_CHARS = 500
_SHOWN_BYTES = 4 * _SHOWN_CHARS

HttpRequest = Callable[[Any, TaskContext], Awaitable[dict[str, Any]]]


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to an address that the policy has checked, under the name in the URL.

    Redirects use it too. Connections are not reused: the pool distinguishes addresses and not names. It would
    give a connection, whose certificate was checked for one name, to another name at the same address.
    """

    def __init__(self, policy: AddressPolicy, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._policy = policy
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = inner or httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to a checked address.

        Raise NonRetryableError (InvalidInput), AddressDeniedError, httpx.HTTPError; UnicodeError if no
        host can have the name.
        """
        # The name as it is sent: Python and httpx disagree about some names beyond ASCII.
        host = checked_url(request.url).raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            *others, last = await self._policy.pin(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} can't be resolved: {error}", request=request) from error
        for address in others:
            # A host may have an address that nothing answers at. If a connection fails, nothing was sent.
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                pinned = _pinned(request, host, address, longest_connect=NEXT_ADDRESS_SECONDS)
                return await self._inner.handle_async_request(pinned)
        return await self._inner.handle_async_request(_pinned(request, host, last))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


def _pinned(
    request: httpx.Request, host: str, address: str, longest_connect: float | None = None
) -> httpx.Request:
    timeout = request.extensions.get("timeout", {})
    if longest_connect is not None:
        connect = timeout.get("connect")
        shorter = longest_connect if connect is None else min(connect, longest_connect)
        timeout = {**timeout, "connect": shorter}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host, "timeout": timeout},
    )


def make_http_request(
    allow: Sequence[str], max_bytes: int, transport: httpx.AsyncBaseTransport | None = None
) -> HttpRequest:
    """Return the handler. It reaches the hosts in `allow`, and accepts bodies of up to `max_bytes`."""
    transport = transport or PinnedTransport(AddressPolicy(allow))

    @task("http.request")
    async def http_request(input: Any, context: TaskContext) -> dict[str, Any]:
        """Send the request; the README has the input, the output and the failures."""
        wanted = parse(input)
        try:
            async with asyncio.timeout(wanted.timeout):
                return await _send(wanted, transport, max_bytes, context.idempotency_key)
        except (TimeoutError, httpx.HTTPError, AddressDeniedError, UnicodeError) as error:
            raise _failure_of(error, wanted) from None

    return http_request


def _failure_of(error: Exception, wanted: RequestInput) -> TaskFailure:
    """Return the failure of the task. It is retried only if the same request may succeed later."""
    if isinstance(error, AddressDeniedError):
        return NonRetryableError(str(error), type="HttpAddressDenied")
    if isinstance(error, UnicodeError):
        return invalid(f"{shown(wanted.url)}: no host can have this name, or the name that it redirects to")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        message = f"{shown(wanted.url)} did not answer within {wanted.timeout:g} s"
        return TaskFailure(message, type="HttpTimeout")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.TooManyRedirects):
        return invalid(f"{shown(wanted.url)}: {error}")
    message = f"{shown(wanted.url)}: {error.__class__.__name__}: {error}"
    return TaskFailure(message, type="HttpConnectionError")


async def _send(
    wanted: RequestInput, transport: httpx.AsyncBaseTransport, max_bytes: int, idempotency_key: str
) -> dict[str, Any]:
    # The client is not closed: that would close the transport, which is shared.
    client = httpx.AsyncClient(transport=transport, timeout=wanted.timeout, trust_env=False)
    headers = {IDEMPOTENCY_KEY: idempotency_key, "accept-encoding": ACCEPTED_CODINGS, **wanted.headers}
    request = client.build_request(wanted.method, wanted.url, headers=headers, content=wanted.content)
    response = await _follow(client, request)
    try:
        if response.is_error:
            beginning = await http_body.read_beginning(response, _SHOWN_BYTES)
            raise _refused(response, http_body.text_of(beginning, response.charset_encoding))
        body = await _body(response, max_bytes)
    finally:
        await response.aclose()
    text = http_body.text_of(body, response.charset_encoding)
    content_type = response.headers.get("content-type", "")
    return {
        "status": response.status_code,
        "headers": _joined(response.headers),
        "body": http_body.content_of(content_type, text),
    }


async def _follow(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Return the first response that is not a redirect. Do not read bodies of redirects: they may be huge."""
    for _ in range(1 + MAX_REDIRECTS):
        response = await client.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
    raise httpx.TooManyRedirects(f"over {MAX_REDIRECTS} redirects", request=request)


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    try:
        return await http_body.read(response, max_bytes)
    except http_body.TooLargeError:
        raise http_body.too_large(max_bytes) from None
    except http_body.UnknownCodingError as error:
        raise NonRetryableError(str(error), type="HttpResponseEncoding") from None
    except http_body.UnreadableBodyError as error:
        raise httpx.DecodingError(f"the body cannot be unpacked: {error}", request=response.request) from None


def _joined(headers: httpx.Headers) -> dict[str, str]:
    """Return the headers by name. httpx's own mapping is quadratic, and a server may send thousands."""
    values: dict[str, list[str]] = {}
    for name, value in headers.multi_items():
        values.setdefault(name, []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}


def _refused(response: httpx.Response, text: str) -> TaskFailure:
    status = response.status_code
    message = (
        f"{response.request.method} {shown(response.request.url)} answered {status}: {text[:_SHOWN_CHARS]}"
    )
    client_error = 400 <= status < 500 and status not in RETRYABLE_CLIENT_STATUSES
    kind = "HttpClientError" if client_error else "HttpServerError"
    return TaskFailure(message, type=kind, non_retryable=client_error)
