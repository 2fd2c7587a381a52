"""Reads the body of a response within limits: for bytes on the wire, for unpacked bytes, and for nesting.

No server is trusted. A few kilobytes can unpack to gigabytes, a name of a charset can select a decoder that
takes minutes, and JSON can be nested more deeply than anything can read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import httpx
from workflow_sdk import NonRetryableError

from workflow_worker.handlers import json_body

MAX_MEMBERS = 1_000
"""The most members of one gzip body. Each member costs time, even an empty one."""
_GZIP = 16 + zlib.MAX_WBITS
_FIRST_BYTES_OF_GZIP = b"\x1f\x8b"
_CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be", "utf-32", "macintosh"}
    | {"latin1", "latin-1", "koi8-r", "koi8-u", "gbk", "gb2312", "gb18030", "big5", "euc-kr", "euc-jp"}
    | {"shift_jis", "shift-jis", "windows-31j", "iso-2022-jp", "tis-620", "windows-874"}
    | {f"iso-8859-{number}" for number in range(1, 17)}
    | {f"{family}{number}" for family in ("windows-", "cp") for number in range(1250, 1259)}
)
"""The charsets of the web. Python knows others whose decoders take quadratic time, such as punycode."""


class TooLargeError(Exception):
    """The body is larger than the limit."""


class UnreadableBodyError(Exception):
    """The body is not packed as its header says."""


class UnknownCodingError(Exception):
    """The body is packed in a way that is not supported, or more than once."""


class Unpacker:
    """Unpacks a body part by part, up to `max_bytes` for the whole body."""

    def __init__(self, coding: str, max_bytes: int) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        # Compression makes random bytes a little larger.
        self._wire_bytes_left = max_bytes + max_bytes // 100 + 1_024
        self._members = 0
        self._decoder: zlib._Decompress | None = None
        self.body = bytearray()

    def feed(self, part: bytes) -> None:
        """Unpack the next part. Raise TooLargeError, UnreadableBodyError."""
        self._wire_bytes_left -= len(part)
        for piece in self._unpacked(part) if self._coding else [part]:
            self.body += piece
            if len(self.body) > self._max_bytes:
                raise TooLargeError
        if self._wire_bytes_left < 0:
            raise TooLargeError

    def finish(self) -> bytes:
        """Return the body. Raise UnreadableBodyError if its end is missing."""
        if self._decoder is not None and not self._decoder.eof:
            raise UnreadableBodyError("its end is missing")
        return bytes(self.body)

    def _unpacked(self, part: bytes) -> Iterator[bytes]:
        while part:
            if self._decoder is None or self._decoder.eof:
                if self._members and (self._coding != "gzip" or not part.startswith(_FIRST_BYTES_OF_GZIP)):
                    return  # padding, which other clients ignore too
                self._start(part)
            assert self._decoder is not None
            room = self._max_bytes - len(self.body) + 1
            try:
                yield self._decoder.decompress(part, room)
            except zlib.error as error:
                raise UnreadableBodyError(str(error)) from None
            part = self._decoder.unconsumed_tail or self._decoder.unused_data

    def _start(self, part: bytes) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise TooLargeError
        if self._coding == "gzip":
            self._decoder = zlib.decompressobj(_GZIP)
            return
        # Servers disagree whether `deflate` has the header of zlib.
        has_header = part[0] & 0x0F == zlib.DEFLATED and part[0] >> 4 <= 7
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def coding_of(response: httpx.Response) -> str:
    """Return `gzip`, `deflate` or an empty string. Raise UnknownCodingError for others and for several."""
    header: str = response.headers.get("content-encoding", "")
    codings = [word.strip().lower() for word in header.split(",")]
    codings = [word.removeprefix("x-") for word in codings if word not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in ("gzip", "deflate"):
        raise UnknownCodingError(
            f"the response is packed as {header[:100]}, but only one layer of gzip or deflate is supported."
            " Ask the server for one of them with the header Accept-Encoding"
        )
    return codings[0]


async def read(response: httpx.Response, max_bytes: int) -> bytes:
    """Return the body, unpacked. Raise UnknownCodingError, TooLargeError, UnreadableBodyError, HTTPError."""
    unpacker = Unpacker(coding_of(response), max_bytes)
    async for part in response.aiter_raw():
        unpacker.feed(part)
    return unpacker.finish()


async def read_beginning(response: httpx.Response, max_bytes: int) -> bytes:
    """Return the beginning of an error's body, as far as it can be read. Raise HTTPError."""
    try:
        unpacker = Unpacker(coding_of(response), max_bytes)
    except UnknownCodingError:
        return b""
    try:
        async for part in response.aiter_raw():
            unpacker.feed(part)
    except (TooLargeError, UnreadableBodyError):
        pass
    return bytes(unpacker.body[:max_bytes])


def too_large(max_bytes: int) -> NonRetryableError:
    """Return the error for a body over the limit."""
    message = f"the response is over {max_bytes} bytes (HTTP_REQUEST_MAX_BYTES): ask for a smaller part of it"
    return NonRetryableError(message, type="HttpResponseTooLarge")


def text_of(body: bytes, charset: str | None) -> str:
    """Return the text, with U+FFFD for bytes that are not in the charset. Read unknown charsets as UTF-8."""
    name = (charset or "").strip().lower()
    text = body.decode(name if name in _CHARSETS else "utf-8", errors="replace")
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")  # NUL can't be stored


def content_of(content_type: str, text: str) -> Any:
    """Return the value of a JSON body if it can be an output, else the text."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return text
    return json_body.value_of(text)
