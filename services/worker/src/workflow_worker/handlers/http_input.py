"""The input of `http.request`, checked before anything is sent. A wrong input is never retried."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from workflow_sdk import NonRetryableError

DEFAULT_TIMEOUT_SECONDS = 30.0
MAX_TIMEOUT_SECONDS = 300.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
IDEMPOTENCY_KEY = "idempotency-key"
ACCEPTED_CODINGS = "gzip, deflate"
MAX_PORT = 65_535
_FIELDS = ("url", "method", "headers", "body", "json", "timeout")
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "upgrade"})
"""Headers that follow from the request. Another value would break the connection, or worse."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class RequestInput:
    """A request that can be sent."""

    url: httpx.URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """The names are in lower case."""
    content: bytes | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    """Seconds for the whole request, from the name lookup to the last byte of the response."""


def parse(input: Any) -> RequestInput:
    """Return the request that the input describes. Raise NonRetryableError, which names the field."""
    if not isinstance(input, dict):
        raise invalid('the input must be an object such as {"url": "https://example.com"}')
    if unknown := [key for key in input if key not in _FIELDS]:
        raise invalid(f"unknown field `{unknown[0][:100]}`; there are {', '.join(_FIELDS)}")
    headers = _headers(input.get("headers"))
    if "json" in input:
        headers.setdefault("content-type", "application/json")
    return RequestInput(_url(input.get("url")), _method(input), headers, _content(input), _timeout(input))


def checked_url(url: httpx.URL) -> httpx.URL:
    """Return the URL. Raise NonRetryableError (InvalidInput) if no request can be sent there."""
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise invalid(f"{shown(url)}: only http:// and https:// URLs with a host can be requested")
    if url.port is not None and not 1 <= url.port <= MAX_PORT:
        raise invalid(f"{shown(url)}: the port must be from 1 to {MAX_PORT}")
    return url


def shown(url: httpx.URL) -> str:
    """Return the URL for messages: without parts that may hold a password or a key, and not too long."""
    text = str(url.copy_with(username=None, password=None, query=None, fragment=None))
    return text if len(text) <= 200 else text[:199] + "…"


def invalid(message: str) -> NonRetryableError:
    """Return the error for an input that cannot become a request."""
    return NonRetryableError(message, type="InvalidInput")


def _url(value: Any) -> httpx.URL:
    if not isinstance(value, str):
        raise invalid("`url` must be a string such as https://example.com/orders")
    try:
        url = httpx.URL(value)
    except (httpx.InvalidURL, ValueError):
        # The texts of these errors may quote a part of a password.
        raise invalid("`url` is not a valid URL: check its host, its port and its characters") from None
    return checked_url(url)


def _method(input: Mapping[str, Any]) -> str:
    method = str(input.get("method", "GET")).upper()
    if method not in METHODS:
        raise invalid(f"`method` must be one of {', '.join(METHODS)}, not {method[:100]}")
    return method


def _headers(value: Any) -> dict[str, str]:
    """Return the headers by name in lower case, because HTTP does not distinguish upper and lower case."""
    if value is None:
        value = {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise invalid("`headers` must be an object of texts: make every value a string")
    headers: dict[str, str] = {}
    for name, text in value.items():
        key, text = name.lower(), text.strip(" \t")
        if not _HEADER_NAME.fullmatch(name):
            raise invalid(f"`headers` has the name {name[:100]!r}: write letters, digits and hyphens")
        if not _HEADER_VALUE.fullmatch(text):
            raise invalid(
                f"`headers.{name[:100]}` has a line break, another control character, or a character beyond"
                " ASCII: encode it, for example as percent-encoding"
            )
        if key in headers:
            raise invalid(f"`headers` has {key[:100]} twice, in upper and lower case: keep one of them")
        if key in _OWN_HEADERS:
            raise invalid(f"`headers.{name}` cannot be set: it follows from the request. Remove it")
        headers[key] = text
    return headers


def _content(input: Mapping[str, Any]) -> bytes | None:
    body = input.get("body")
    if body is not None and (not isinstance(body, str) or "json" in input):
        raise invalid("`body` must be a string, and can't be combined with `json`: remove one of them")
    try:
        if "json" in input:
            body = json.dumps(input["json"], ensure_ascii=False, allow_nan=False)
        return None if body is None else body.encode()
    except (ValueError, RecursionError):
        name = "json" if "json" in input else "body"
        raise invalid(
            f"`{name}` can't be encoded: remove NaN, infinities and halves of surrogate pairs"
        ) from None


def _timeout(input: Mapping[str, Any]) -> float:
    timeout = input.get("timeout", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise invalid("`timeout` must be a number of seconds")
    if not 0 < timeout <= MAX_TIMEOUT_SECONDS:
        raise invalid(f"`timeout` must be above 0 and at most {MAX_TIMEOUT_SECONDS:g} seconds")
    return timeout
