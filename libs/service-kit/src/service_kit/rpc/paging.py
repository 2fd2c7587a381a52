"""Opaque keyset page tokens: where the next page begins, bound to the filters of the list.

A token is base64url of JSON with a checksum, which detects damage and reuse with other filters. It is not a
secret and not a permission: after decoding, check access as for a first page. A caller can make a token with
a right checksum, so check the key in it like any other value of a request (`decode_one`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from workflow_contract.payloads import words

from service_kit.errors import PAGE_TOKEN_INVALID, FieldViolation, ServiceError, invalid_argument

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""The size of a page's items by ByteSize; a gRPC message may have 4 MiB."""
MAX_TOKEN_CHARS = 1_024
"""The limit that contracts set for a `page_token`."""
_CHECKSUM_BYTES = 6

Key = Sequence[str | int | float | bool | None]


class _Sized(Protocol):
    def ByteSize(self) -> int: ...  # noqa: N802 - protobuf's name


Item = TypeVar("Item", bound=_Sized)
T = TypeVar("T")


def fitting(items: Iterable[Item], max_bytes: int = MAX_PAGE_BYTES) -> list[Item]:
    """Return the first items that have at most `max_bytes` together, and at least one item if there is any.

    If items are left out, there is a next page: its token names the last item of this one.
    """
    fit: list[Item] = []
    size = 0
    for item in items:
        size += item.ByteSize()
        if fit and size > max_bytes:
            break
        fit.append(item)
    return fit


def page_size(requested: int) -> int:
    """Return the page size: 0 means 50, over 1,000 means 1,000. Raise INVALID_ARGUMENT if it is negative."""
    if requested < 0:
        violation = FieldViolation("page_size", "must not be negative")
        raise invalid_argument("FIELD_INVALID", "page_size must be 0 (for 50) to 1000", violation)
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def filter_hash(*filters: object) -> str:
    """Return the hash that binds a token to a list: of method, parent and filters, in a fixed order. 16
    characters.
    """
    text = json.dumps(filters, default=str, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def encode(key: Key, *, filter_hash: str) -> str:
    """Return the token of the page after the row with this sort key (JSON values; write times as ISO text).

    Raise ValueError if it has more than MAX_TOKEN_CHARS, because no caller could send it back. A key may have
    700 characters of ASCII, or 100 others.
    """
    body = json.dumps([filter_hash, *key], ensure_ascii=True, separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(_checksum(body) + body).decode().rstrip("=")
    if len(token) > MAX_TOKEN_CHARS:
        raise ValueError(f"a page token of {len(token)} characters: keep the sort key short")
    return token


def decode(token: str, *, filter_hash: str) -> list[str | int | float | bool | None] | None:
    """Return the sort key after which the page begins; None for "", the first page.

    Raise INVALID_ARGUMENT (PAGE_TOKEN_INVALID) if `encode` did not make the token, or made it for other
    filters.
    """
    if not token:
        return None
    key = _verified_key(token)
    if key is None:
        raise _damaged()
    given_hash = key.pop(0)
    if given_hash != filter_hash:
        message = (
            "the page token belongs to other filters: repeat those filters, or list again without the token"
        )
        raise _invalid("belongs to other filters", message)
    return key


def decode_one(token: str, read: Callable[[Any], T], *, filter_hash: str) -> T | None:
    """Return the one value of a sort key, which `read` makes of its JSON value; None for "", the first page.

    `read` raises ValueError if the value cannot be a key of the list. Raise the same errors as `decode`.
    """
    key = decode(token, filter_hash=filter_hash)
    if key is None:
        return None
    try:
        (value,) = key
        return read(value)
    except ValueError:
        raise _damaged() from None


def text_key(value: Any) -> str:
    """Return the value if it is a text that can be stored. Otherwise raise ValueError."""
    if not isinstance(value, str) or words.problem_of_text(value):
        raise ValueError("the key is not a text")
    return value


def uuid_key(value: Any) -> UUID:
    """Return the UUID of a text. Raise ValueError if the value is not the text of a UUID."""
    return UUID(text_key(value))


def number_key(largest: int) -> Callable[[Any], int]:
    """Return a function that accepts whole numbers from 0 to `largest`, and otherwise raises ValueError."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
            raise ValueError("the key is not such a number")
        return value

    return read


def _verified_key(token: str) -> list[Any] | None:
    """Return the values of a token, first the hash of the filters; None if the checksum is wrong."""
    body = _verified_body(token)
    if body is None:
        return None
    try:
        key = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return key if isinstance(key, list) and key and isinstance(key[0], str) else None


def _verified_body(token: str) -> bytes | None:
    if len(token) > MAX_TOKEN_CHARS:
        return None
    try:
        raw = base64.b64decode(
            token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeEncodeError, ValueError):
        return None
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
        return None  # the same bytes, but not in the form of the original token
    body = raw[_CHECKSUM_BYTES:]
    return body if body and raw[:_CHECKSUM_BYTES] == _checksum(body) else None


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _damaged() -> ServiceError:
    return _invalid("is damaged", "the page token is damaged: list again without it")


def _invalid(description: str, message: str) -> ServiceError:
    return invalid_argument(PAGE_TOKEN_INVALID, message, FieldViolation("page_token", description))
