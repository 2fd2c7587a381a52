import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from workflow_sdk import NonRetryableError, TaskContext, TaskFailure
from workflow_sdk.payloads import to_json
from workflow_worker.handlers.addresses import AddressPolicy
from workflow_worker.handlers.http_request import PinnedTransport, make_http_request, parse

CONTEXT = TaskContext("e", "w", "default", "t", None, "http.request", 1, "key-1")
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers what reaches the network; remembers the requests."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answer(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers.raw, stream=httpx.ByteStream(answer.content)
        )


async def send(server: Server, input: Any, *, max_bytes: int = 1000, allow: tuple[str, ...] = ()) -> Any:
    hosts = {"api.test": "1.1.1.1", "inside.test": "10.0.0.1"}

    async def resolve(host: str, port: int) -> list[str]:
        if host == "nowhere.test":
            raise OSError("Name or service not known")
        return [hosts.get(host, host)]

    transport = PinnedTransport(AddressPolicy(allow, resolve), httpx.MockTransport(server))
    return await make_http_request(allow, max_bytes, transport)(input, CONTEXT)


async def test_the_next_address_of_a_host_is_tried_when_one_cannot_be_connected_to() -> None:
    asked: list[tuple[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, request.extensions["timeout"]["connect"]))
        if request.url.host != "9.9.9.9":
            raise httpx.ConnectTimeout("nobody is there")
        return httpx.Response(200, text="here")

    async def resolve(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "2606:4700::1", "1.1.1.1", "9.9.9.9"]

    transport = PinnedTransport(AddressPolicy((), resolve), httpx.MockTransport(Server(answer)))
    output = await make_http_request((), 1000, transport)(
        {"url": "https://many.test/", "timeout": 20}, CONTEXT
    )
    assert output["body"] == "here"
    assert asked == [("1.1.1.1", 2.0), ("2606:4700::1", 2.0), ("9.9.9.9", 20.0)]


@pytest.mark.parametrize(
    ("content", "body"),
    [
        ('{"id": 12345678901234567890, "n": 9007199254740992}', {"id": "12345678901234567890", "n": 2**53}),
        ("[1e999, -1e16]", ["1e999", -1e16]),
        ("[" + "7" * 900 + "]", ["7" * 900]),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("[NaN]", "[NaN]"),
        ("[" * 31 + "]" * 31, json.loads("[" * 31 + "]" * 31)),
        ("[" * 32 + "]" * 32, "[" * 32 + "]" * 32),
        ('["a\\u0000b"]', '["a\\u0000b"]'),
        ('["\\ud800"]', '["\\ud800"]'),
    ],
)
async def test_nothing_of_a_response_that_json_would_change_is_lost(content: str, body: Any) -> None:
    """The response is data from outside: a value that an output may not hold is kept as text."""
    server = Server(lambda _: httpx.Response(200, text=content, headers={"content-type": "application/json"}))
    output = await send(server, {"url": "https://api.test/orders"})

    assert output["body"] == body
    assert to_json(output)


async def test_json_comes_back_as_json_and_the_request_goes_to_the_checked_address() -> None:
    server = Server(lambda _: httpx.Response(201, json={"id": 7}))
    output = await send(server, {"url": "https://api.test/orders", "method": "post", "json": {"n": 1}})
    assert (output["status"], output["body"]) == (201, {"id": 7})
    assert output["headers"]["content-type"] == "application/json"
    (request,) = server.requests

    assert (request.method, str(request.url), request.read()) == (
        "POST",
        "https://1.1.1.1/orders",
        b'{"n": 1}',
    )
    assert request.headers["host"] == "api.test"
    assert request.extensions["sni_hostname"] == "api.test"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "key-1"


async def test_text_comes_back_as_text_whatever_charset_is_claimed() -> None:
    headers = {"content-type": "text/plain; charset=nonsense"}
    server = Server(lambda _: httpx.Response(200, headers=headers, content=b"a\x00b \xc3\xa9"))

    assert (await send(server, {"url": "http://api.test/"}))["body"] == "a\ufffdb é"


@pytest.mark.parametrize("content", [b"{broken", b"[NaN]"])
async def test_a_body_that_is_not_json_comes_back_as_text_whatever_its_content_type(content: bytes) -> None:
    headers = {"content-type": "application/problem+json"}
    server = Server(lambda _: httpx.Response(200, headers=headers, content=content))

    assert (await send(server, {"url": "http://api.test/"}))["body"] == content.decode()


@pytest.mark.parametrize(
    ("status", "kind", "non_retryable"),
    [
        (400, "HttpClientError", True),
        (404, "HttpClientError", True),
        (408, "HttpServerError", False),
        (429, "HttpServerError", False),
        (503, "HttpServerError", False),
    ],
)
async def test_only_errors_that_may_pass_are_retried(status: int, kind: str, non_retryable: bool) -> None:
    server = Server(lambda _: httpx.Response(status, text="because"))

    with pytest.raises(TaskFailure, match=f"GET http://api.test/x answered {status}: because") as caught:
        await send(server, {"url": "http://user:secret@api.test/x?key=secret"})
    assert (caught.value.type, caught.value.non_retryable) == (kind, non_retryable)


async def test_a_redirect_to_a_private_address_is_denied() -> None:
    server = Server(lambda _: httpx.Response(302, headers={"location": "http://inside.test/admin"}))

    with pytest.raises(NonRetryableError, match="not public") as caught:
        await send(server, {"url": "http://api.test/"})
    assert caught.value.type == "HttpAddressDenied"
    assert len(server.requests) == 1


async def test_redirects_are_followed_a_few_times_and_not_for_ever() -> None:
    server = Server(lambda _: httpx.Response(302, headers={"location": "/again"}))

    with pytest.raises(NonRetryableError, match="redirects"):
        await send(server, {"url": "http://api.test/"})
    assert len(server.requests) == 6


async def test_a_large_response_is_not_read_to_its_end() -> None:
    server = Server(lambda _: httpx.Response(200, content=b"x" * 1001))

    with pytest.raises(NonRetryableError, match="over 1000 bytes") as caught:
        await send(server, {"url": "http://api.test/"})
    assert caught.value.type == "HttpResponseTooLarge"


async def test_a_host_that_does_not_resolve_is_tried_again() -> None:
    server = Server(lambda _: httpx.Response(200))

    with pytest.raises(TaskFailure, match="can't be resolved") as caught:
        await send(server, {"url": "http://nowhere.test/"})
    assert (caught.value.type, caught.value.non_retryable) == ("HttpConnectionError", False)


async def test_a_timeout_is_tried_again() -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    with pytest.raises(TaskFailure, match="within 2 s") as caught:
        await send(Server(late), {"url": "http://api.test/", "timeout": 2})
    assert (caught.value.type, caught.value.non_retryable) == ("HttpTimeout", False)


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ("http://api.test", "must be an object"),
        ({}, "`url`"),
        ({"url": "http://a", "verb": "GET"}, "unknown field `verb`"),
        ({"url": "http://a", "method": "BREW"}, "`method`"),
        ({"url": "http://a", "headers": {"a": 1}}, "`headers`"),
        ({"url": "http://a", "body": "x", "json": 1}, "`body`"),
        ({"url": "http://a", "timeout": 0}, "`timeout`"),
        ({"url": "http://a", "timeout": True}, "`timeout`"),
    ],
)
def test_bad_input_names_the_field(input: Any, message: str) -> None:
    with pytest.raises(NonRetryableError, match=message) as caught:
        parse(input)
    assert caught.value.type == "InvalidInput"


@pytest.mark.parametrize("url", ["ftp://api.test/", "api.test/orders", "http:///orders"])
async def test_urls_that_are_no_http_fail_for_good(url: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        await send(Server(lambda _: httpx.Response(200)), {"url": url})
    assert caught.value.type == "InvalidInput"
