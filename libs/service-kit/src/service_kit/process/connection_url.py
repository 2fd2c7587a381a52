"""Split a URL that may hold a password; no error repeats any part of the text.

`urllib.parse` is not enough here. Some of its errors quote the text. It also silently cuts a URL at an
unencoded `#`, `/` or `?` in a password, so that the rest of the password becomes a port or a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

HIDDEN = "***"
ENCODE = "write special characters of a user name or password as %40 (@), %3A (:), %2F (/), %3F (?), %23 (#)"
PORT_RANGE = "has a port that is not a number from 1 to 65535"

# The parts of RFC 3986, appendix B.
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<rest>#.*)?",
    re.DOTALL,
)
_SIMPLE = re.compile(r"[\w.,:~/$-]*(@[\w.-]+)?")
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?|/[^;=@?#]*")


@dataclass(frozen=True)
class Url:
    """The decoded parts of a URL; `where` is the text behind the `@`, undecoded."""

    scheme: str
    username: str
    password: str = field(repr=False)
    where: str
    path: str
    query: Mapping[str, str] = field(repr=False)


def is_url(text: str) -> bool:
    """Return whether the text begins with `scheme://`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+]*://", text) is not None


def split_url(text: str) -> Url:
    """Split a URL. Raise ValueError if it has an unencoded special character, or gives an option twice."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("is not a URL: write scheme://user:password@host:port/name")
    login, _, where = match["authority"].rpartition("@")
    query = match["query"] or ""
    if match["rest"] is not None or "@" in match["path"] or "@" in query:
        raise ValueError(f"has a `#` in it, or an `@` behind the host: {ENCODE}")
    if any(character < " " or character == "\x7f" for character in text):
        raise ValueError("has a control character, such as an end of line, in it: remove it")
    pairs = parse_qsl(query, keep_blank_values=True)
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("gives an option twice behind the `?`: keep one")
    username, _, password = login.partition(":")
    return Url(
        scheme=match["scheme"].lower(),
        username=unquote(username),
        password=unquote(password),
        where=where,
        path=unquote(match["path"]),
        query={name: value for name, value in pairs if value},
    )


def port_of(text: str, default: int) -> int:
    """Return the port, or `default` if the text is empty. The ValueError does not repeat the text."""
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError(f"{PORT_RANGE}; if it is part of a password, {ENCODE}")
    return int(text)


def require_host(host: str) -> str:
    """Return the host. Raise ValueError if it is not a name, an IP address or an absolute directory."""
    if not _HOST.fullmatch(host) or len(host) > 255:
        raise ValueError("has a host that is neither a name, an IP address nor an absolute directory")
    return host


def login_shown(username: str | None, password: str | None) -> str:
    """Return `user:***@` for logs.

    A name without a password is hidden: it may be a password whose `:` was forgotten.
    """
    if not password:
        return f"{HIDDEN}@" if username else ""
    return f"{simple_or_hidden(username or '')}:{HIDDEN}@"


def simple_or_hidden(text: str) -> str:
    """Return the text if it can only be a name or a path, else `***`."""
    return text if _SIMPLE.fullmatch(text) else HIDDEN
