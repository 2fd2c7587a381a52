"""`http.request` against servers that answer in ways that no server should: memory and time stay bounded."""

import asyncio
import gzip
import re
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from workflow_sdk import NonRetryableError, TaskContext, TaskFailure
from workflow_worker.handlers.http_body import MAX_MEMBERS
from workflow_worker.handlers.http_request import make_http_request

CONTEXT = TaskContext("e", "w", "default", "t", None, "http.request", 1, "key-1")
MAX_BYTES = 100_000
Script = Callable[[asyncio.StreamWriter], Any]


def answer(body: bytes, *headers: str, status: int = 200) -> Script:
    """A response that is whole."""
    head = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers]

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return write


def endless(beginning: bytes, part: bytes) -> Script:
    """A response that never ends."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return write


async def send(script: Script, **input: Any) -> Any:
    """The output of a request to a server that answers so; the heads of the requests are in `heads`."""
    heads: list[str] = input.pop("heads", [])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await script(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return await make_http_request(["127.0.0.1"], MAX_BYTES)({"url": url, **input}, CONTEXT)
    finally:
        server.close()


async def failure(script: Script, **input: Any) -> TaskFailure:
    with pytest.raises(TaskFailure) as caught:
        await send(script, **input)
    return caught.value


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"hello world")),
        ("X-GZip", gzip.compress(b"hello world")),
        ("gzip", gzip.compress(b"hello ") + gzip.compress(b"world")),
        ("gzip", gzip.compress(b"hello world") + b"\0" * 512),
        ("deflate", zlib.compress(b"hello world")),
        ("deflate", raw_deflate(b"hello world")),
        ("identity", b"hello world"),
    ],
    ids=["gzip", "x-gzip", "members", "padding", "zlib", "raw deflate", "identity"],
)
async def test_a_body_that_is_packed_once_is_unpacked(coding: str, packed: bytes) -> None:
    output = await send(answer(packed, f"Content-Encoding: {coding}"))
    assert output["body"] == "hello world"


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip, deflate", "br", "zstd", "compress"])
async def test_a_body_that_is_packed_twice_or_in_another_way_is_refused(coding: str) -> None:
    failed = await failure(answer(gzip.compress(gzip.compress(b"x")), f"Content-Encoding: {coding}"))
    assert (failed.type, failed.non_retryable) == ("HttpResponseEncoding", True)


async def test_a_small_body_that_unpacks_to_much_takes_little_memory() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20), 9)
    tracemalloc.start()

    try:
        failed = await failure(answer(bomb, "Content-Encoding: gzip"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (failed.type, failed.non_retryable) == ("HttpResponseTooLarge", True)
    assert peak < 8 << 20


@pytest.mark.parametrize("members", [MAX_MEMBERS + 1, 50_000])
async def test_a_body_of_members_that_hold_nothing_is_refused(members: int) -> None:
    failed = await failure(answer(gzip.compress(b"") * members, "Content-Encoding: gzip"))
    assert failed.type == "HttpResponseTooLarge"


async def test_a_packed_body_of_the_largest_size_is_taken() -> None:
    body = bytes(range(256)) * (MAX_BYTES // 256)
    packed = gzip.compress(body, compresslevel=0)
    output = await send(answer(packed, "Content-Encoding: gzip", "Content-Type: text/plain; charset=latin1"))

    assert len(output["body"]) == len(body)


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(b"hello world" * 100)[:-4], b"no gzip at all", b"\x1f\x8b"],
    ids=["cut off", "damaged", "two bytes"],
)
async def test_a_body_that_is_cut_off_or_damaged_is_tried_again(packed: bytes) -> None:
    failed = await failure(answer(packed, "Content-Encoding: gzip"))
    assert (failed.type, failed.non_retryable) == ("HttpConnectionError", False)


async def test_a_response_without_a_body_may_name_a_coding() -> None:
    assert (await send(answer(b"", "Content-Encoding: gzip"), method="HEAD"))["body"] == ""


@pytest.mark.parametrize(
    "script",
    [
        answer(b"down" + b"x" * MAX_BYTES, status=503),
        answer(b"down", "Content-Encoding: br", status=503),
        answer(b"down", "Content-Encoding: gzip", status=503),
        endless(b"HTTP/1.1 503 Down\r\n\r\ndown", b"x" * 1000),
    ],
    ids=["large", "unknown coding", "damaged", "endless"],
)
async def test_an_error_is_told_and_tried_again_whatever_its_body_is(script: Script) -> None:
    failed = await failure(script)
    assert (failed.type, failed.non_retryable) == ("HttpServerError", False)


@pytest.mark.parametrize(
    "script",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 1000),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
        answer(b"short", "Content-Length: 7"),
        answer(b"short", "Content-Length: -1"),
    ],
    ids=["headers", "header", "trailers", "chunk extension", "two lengths", "negative length"],
)
async def test_an_answer_that_is_not_http_is_an_error_of_the_connection(script: Script) -> None:
    failed = await failure(script)
    assert (failed.type, failed.non_retryable) == ("HttpConnectionError", False)


@pytest.mark.parametrize(
    "script",
    [
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b""),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""),
    ],
    ids=["interim responses", "packed", "nothing"],
)
async def test_the_timeout_covers_the_whole_response(script: Script) -> None:
    assert (await failure(script, timeout=1)).type == "HttpTimeout"


async def test_thousands_of_headers_are_joined_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = []
    original = httpx.Headers.__getitem__

    def counted(self: httpx.Headers, key: str) -> str:
        lookups.append(key)
        return original(self, key)

    monkeypatch.setattr(httpx.Headers, "__getitem__", counted)
    many = [f"a{n}: b" for n in range(5_000)]
    output = await send(answer(b"", *many, "x-two: 1", "X-Two: 2"))
    assert (output["headers"]["a4999"], output["headers"]["x-two"]) == ("b", "1, 2")
    assert len(lookups) < 100


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "utf-7", "undefined", "unicode_escape", "zlib", "a\tb"]
)
async def test_charsets_that_are_not_of_the_web_are_read_as_utf_8(charset: str) -> None:
    text = "+AGE- \\u0061 é" + "-a" * 30_000
    output = await send(answer(text.encode(), f'Content-Type: text/plain; charset="{charset}"'))

    assert output["body"] == text


async def test_charsets_of_the_web_are_read_as_such() -> None:
    body = "größe".encode("utf-16")
    assert (await send(answer(body, "Content-Type: text/plain; charset=UTF-16")))["body"] == "größe"


@pytest.mark.parametrize(
    "text",
    ["[" * 90_000, "[" * 101 + "]" * 101, '"\\u0000"', '"\\ud800"', "1e999", "9" * 5_000],
    ids=["open", "deep", "NUL", "half a pair", "infinity", "digits"],
)
async def test_json_that_cannot_be_an_output_comes_back_as_text(text: str) -> None:
    assert (await send(answer(text.encode(), "Content-Type: application/json")))["body"] == text


async def test_a_header_of_the_user_replaces_the_built_in_one_whatever_its_case() -> None:
    heads: list[str] = []
    headers = {"idempotency-KEY": "mine", "Accept-encoding": "identity", "CONTENT-TYPE": "application/x+json"}
    await send(answer(b""), headers=headers, json={}, method="POST", heads=heads)
    lines = sorted(
        line.lower() for line in heads[0].splitlines() if re.match("idem|accept-|content-t", line.lower())
    )

    assert lines == ["accept-encoding: identity", "content-type: application/x+json", "idempotency-key: mine"]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X-A": "Grüße"}, "headers.X-A"),
        ({"X-A": "a\r\nb: c"}, "line break"),
        ({"X-A": "a\x00"}, "control character"),
        ({"X A": "b"}, "'X A'"),
        ({"": "b"}, "name"),
        ({"Grüße": "b"}, "name"),
        ({"x-a": "1", "X-A": "2"}, "twice"),
        ({"Content-Length": "5"}, "Content-Length"),
        ({"transfer-encoding": "chunked"}, "transfer-encoding"),
        ([["a", "b"]], "object of texts"),
    ],
)
async def test_headers_that_cannot_be_sent_fail_at_once_and_are_not_tried_again(
    headers: Any, told: str
) -> None:
    heads: list[str] = []
    failed = await failure(answer(b""), headers=headers, heads=heads)

    assert (failed.type, failed.non_retryable, heads) == ("InvalidInput", True, [])
    assert told in str(failed)


async def test_spaces_around_a_header_are_not_a_part_of_it() -> None:
    heads: list[str] = []
    await send(answer(b""), headers={"X-A": "  b c\t"}, heads=heads)

    assert "x-a: b c\r\n" in heads[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:-1/",
        "http://[::1",
        "http://user:secret/word@127.0.0.1/",
        "http://xn--a/",
        "http://127.0.0.1/\x7f",
        f"http://127.0.0.1/{'x' * 100_000}",
    ],
    ids=["port 99999", "port 0", "port -1", "bracket", "password", "punycode", "control", "long"],
)
async def test_urls_that_cannot_be_requested_fail_at_once_and_are_not_tried_again(url: str) -> None:
    handler = make_http_request(["127.0.0.1"], MAX_BYTES)

    with pytest.raises(NonRetryableError) as caught:
        await handler({"url": url}, CONTEXT)
    assert caught.value.type in ("InvalidInput", "HttpAddressDenied")
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
async def test_a_name_that_no_host_can_have_is_not_tried_again(host: str) -> None:
    with pytest.raises(NonRetryableError) as caught:
        await make_http_request(["*"], MAX_BYTES)({"url": f"http://{host}/"}, CONTEXT)
    assert caught.value.type == "InvalidInput"


@pytest.mark.parametrize("location", ["http://127.0.0.1:99999/", "ftp://127.0.0.1/", "http://xn--a/"])
async def test_a_redirect_to_what_cannot_be_requested_is_not_tried_again(location: str) -> None:
    failed = await failure(answer(b"", f"Location: {location}", status=302))
    assert (failed.type, failed.non_retryable) == ("InvalidInput", True)


@pytest.mark.parametrize("input", [{"body": "\ud800"}, {"json": {"a": float("nan")}}, {"json": "\udfff"}])
async def test_contents_without_a_form_as_bytes_are_not_tried_again(input: dict[str, Any]) -> None:
    failed = await failure(answer(b""), **input)
    assert (failed.type, failed.non_retryable) == ("InvalidInput", True)
