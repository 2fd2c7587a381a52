"""`http.request`: one HTTP request as a task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from workflow_sdk import NonRetryableError, TaskContext, TaskFailure, task

from workflow_worker.handlers import json_body
from workflow_worker.handlers.addresses import AddressDeniedError, AddressPolicy

DEFAULT_TIMEOUT_SECONDS = 30.0
LONGEST_TIMEOUT_SECONDS = 300.0
MOST_REDIRECTS = 5
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RETRYABLE_CLIENT_STATUSES = (408, 429)
_SHOWN_CHARS = 500

HttpRequest = Callable[[Any, TaskContext], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class RequestInput:
    """What the task says; see `parse`."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    json: Any = None
    has_json: bool = False
    timeout: float = DEFAULT_TIMEOUT_SECONDS


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to an address that the policy has checked, under the name that was asked for.

    Redirects come through here too. Connections are not kept: the pool goes by address, and would give a
    connection that was made (and whose certificate was checked) for one name to another at the same address.
    """

    def __init__(self, policy: AddressPolicy, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._policy = policy
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = inner or httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        host = request.url.host
        if request.url.scheme not in ("http", "https") or not host:
            raise httpx.UnsupportedProtocol("only http:// and https:// URLs with a host can be requested")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            address = await self._policy.pin(host, port)
        except OSError as error:
            raise httpx.ConnectError(f"{host} can't be resolved: {error}", request=request) from error
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def make_http_request(
    allow: Sequence[str], max_bytes: int, transport: httpx.AsyncBaseTransport | None = None
) -> HttpRequest:
    """The handler for these hosts and bodies of at most so many bytes."""
    transport = transport or PinnedTransport(AddressPolicy(allow))

    @task("http.request")
    async def http_request(input: Any, context: TaskContext) -> dict[str, Any]:
        """Send the request; see the README for input, output and failures."""
        wanted = parse(input)
        try:
            async with asyncio.timeout(wanted.timeout):
                return await _send(wanted, transport, max_bytes, context.idempotency_key)
        except AddressDeniedError as error:
            raise NonRetryableError(str(error), type="HttpAddressDenied") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise NonRetryableError(f"{shown(wanted.url)}: {error}", type="InvalidInput") from None
        except (httpx.TimeoutException, TimeoutError):
            message = f"{shown(wanted.url)} did not answer within {wanted.timeout:g} s"
            raise TaskFailure(message, type="HttpTimeout") from None
        except httpx.HTTPError as error:
            message = f"{shown(wanted.url)}: {error.__class__.__name__}: {error}"
            raise TaskFailure(message, type="HttpConnectionError") from None

    return http_request


def parse(input: Any) -> RequestInput:
    """The input of the task. Raises NonRetryableError (InvalidInput) naming the field."""
    if not isinstance(input, dict):
        raise _invalid('the input must be an object such as {"url": "https://example.com"}')
    known = ("url", "method", "headers", "body", "json", "timeout")
    if unknown := [key for key in input if key not in known]:
        raise _invalid(f"unknown field `{unknown[0]}`; there are {', '.join(known)}")
    if not isinstance(input.get("url"), str):
        raise _invalid("`url` must be a text such as https://example.com/orders")
    method = str(input.get("method", "GET")).upper()
    if method not in METHODS:
        raise _invalid(f"`method` must be one of {', '.join(METHODS)}, not {method}")
    headers = input.get("headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise _invalid("`headers` must be an object of texts")
    body = input.get("body")
    if body is not None and (not isinstance(body, str) or "json" in input):
        raise _invalid("`body` must be a text, and not be there together with `json`")
    timeout = input.get("timeout", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise _invalid("`timeout` must be a number of seconds")
    if not 0 < timeout <= LONGEST_TIMEOUT_SECONDS:
        raise _invalid(f"`timeout` must be above 0 and at most {LONGEST_TIMEOUT_SECONDS:g} seconds")
    return RequestInput(input["url"], method, headers, body, input.get("json"), "json" in input, timeout)


async def _send(
    wanted: RequestInput, transport: httpx.AsyncBaseTransport, max_bytes: int, idempotency_key: str
) -> dict[str, Any]:
    # The client is not closed: that would close the transport, which is shared.
    client = httpx.AsyncClient(transport=transport, timeout=wanted.timeout, trust_env=False)
    headers = {"Idempotency-Key": idempotency_key, **wanted.headers}
    content = json.dumps(wanted.json, ensure_ascii=False) if wanted.has_json else wanted.body
    if wanted.has_json and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    request = client.build_request(wanted.method, wanted.url, headers=headers, content=content)
    response = await _follow(client, request)
    try:
        body = await _read(response, max_bytes)
    finally:
        await response.aclose()
    text = _text(body, response.charset_encoding)
    if response.is_error:
        raise _refused(response, text)
    return {
        "status": response.status_code,
        "headers": dict(response.headers),
        "body": _content(response.headers.get("content-type", ""), text),
    }


async def _follow(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The first response that is no redirect. Bodies of redirects are not read: they may be of any size."""
    for _ in range(1 + MOST_REDIRECTS):
        response = await client.send(request, stream=True)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
    raise httpx.TooManyRedirects(f"over {MOST_REDIRECTS} redirects", request=request)


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > max_bytes:
            message = f"the response is over {max_bytes} bytes (HTTP_REQUEST_MAX_BYTES): ask for less of it"
            raise NonRetryableError(message, type="HttpResponseTooLarge")
    return bytes(body)


def _text(body: bytes, charset: str | None) -> str:
    try:
        text = body.decode(charset or "utf-8", errors="replace")
    except LookupError:  # the server named a charset that does not exist
        text = body.decode(errors="replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")  # which can't be stored


def _content(content_type: str, text: str) -> Any:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return json_body.value_of(text)
    return text


def shown(url: str | httpx.URL) -> str:
    """The URL as messages may have it: without what may be a password or a key."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "the URL"
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


def _refused(response: httpx.Response, text: str) -> TaskFailure:
    status = response.status_code
    message = (
        f"{response.request.method} {shown(response.request.url)} answered {status}: {text[:_SHOWN_CHARS]}"
    )
    client_error = 400 <= status < 500 and status not in RETRYABLE_CLIENT_STATUSES
    kind = "HttpClientError" if client_error else "HttpServerError"
    return TaskFailure(message, type=kind, non_retryable=client_error)


def _invalid(message: str) -> NonRetryableError:
    return NonRetryableError(message, type="InvalidInput")
