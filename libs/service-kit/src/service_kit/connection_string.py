"""Where a database or a Redis is, read from what people really write into their configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

DEFAULT_POSTGRES_PORT = 5432
DEFAULT_REDIS_PORT = 6379
HIDDEN = "***"

_POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
# ADO.NET keywords with their synonyms, without spaces and in lower case.
_KEYWORDS = {
    "host": "host",
    "server": "host",
    "port": "port",
    "database": "database",
    "db": "database",
    "initialcatalog": "database",
    "username": "username",
    "user": "username",
    "userid": "username",
    "uid": "username",
    "password": "password",
    "pwd": "password",
    "sslmode": "sslmode",
    "rootcertificate": "sslrootcert",
    "sslcertificate": "sslcert",
    "sslkey": "sslkey",
}
_PAIR = re.compile(
    r"""\s*(?P<key>(?:[^=;]|==)+?)\s*=\s*
        (?: "(?P<double>(?:[^"]|"")*)" | '(?P<single>(?:[^']|'')*)' | (?P<plain>[^;]*?) )
        \s*(?:;|$)""",
    re.VERBOSE,
)
_BRACKETED = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>\d+))?")


@dataclass(frozen=True)
class ConnectionString:
    """A PostgreSQL address, from a URL or from `Host=...;Port=...;Database=...;Username=...;Password=...`.

    `host` is a name, an address, or the absolute directory of a Unix socket; or several names separated by
    commas, each with a port if it is not `port`. `options` are libpq's parameters (`sslmode`,
    `sslrootcert`, ...). Log it only by `redacted`, which `str()` gives too.
    """

    host: str
    database: str
    port: int = DEFAULT_POSTGRES_PORT
    username: str | None = None
    password: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """Read either form. Raises ValueError with a sentence that never repeats the password."""
        text = text.strip()
        values = _from_url(text) if "://" in text else _from_pairs(text)
        host, port = _split_host(values.pop("host", ""), values.pop("port", ""))
        if not host:
            raise ValueError("names no host: write `Host=primary;Database=workflows` or a postgresql:// URL")
        database = values.pop("database", "")
        if not database:
            raise ValueError("names no database: add `;Database=workflows` or `/workflows` to the URL")
        username, password = values.pop("username", None), values.pop("password", None)
        return cls(host, database, port, username or None, password or None, values)

    @property
    def asyncpg_dsn(self) -> str:
        """For `asyncpg.connect` and `asyncpg.create_pool`; holds the password."""
        return self._url("postgresql", self.options, self.password)

    @property
    def sqlalchemy_url(self) -> str:
        """For `sqlalchemy.ext.asyncio.create_async_engine`; holds the password."""
        options = {("ssl" if key == "sslmode" else key): value for key, value in self.options.items()}
        return self._url("postgresql+asyncpg", options, self.password)

    @property
    def redacted(self) -> str:
        """The URL with the password hidden, fit for logs."""
        return self._url("postgresql", self.options, self.password and HIDDEN)

    def _url(self, scheme: str, options: Mapping[str, str], password: str | None) -> str:
        query = dict(options)
        where = ",".join(self._with_port(host) for host in self.host.split(","))
        if self.host.startswith("/"):
            where, query = "", {"host": self.host, "port": str(self.port)} | query
        user = quote(self.username, safe="") if self.username else ""
        shown = password if password == HIDDEN else quote(password or "", safe="")
        login = f"{user}:{shown}@" if password else f"{user}@" if user or not where else ""
        suffix = "?" + urlencode(query, safe="/") if query else ""
        return f"{scheme}://{login}{where}/{quote(self.database, safe='')}{suffix}"

    def _with_port(self, host: str) -> str:
        if "," in self.host and ":" in host:
            return host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"ConnectionString({self.redacted!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(str(value))
        )


def _from_url(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    if parts.scheme not in _POSTGRES_SCHEMES:
        raise ValueError(f"has the scheme {parts.scheme!r}: use postgresql://")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    login, _, where = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    values = {"database": unquote(parts.path[1:]), "username": unquote(username)}
    values |= {"password": unquote(password), "host": unquote(where)}
    for parameter, name in (("user", "username"), ("dbname", "database")):
        if parameter in query:
            query[name] = query.pop(parameter)
    return values | query


def _from_pairs(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        if text[position] in "; \t":
            position += 1
            continue
        match = _PAIR.match(text, position)
        if match is None:
            raise ValueError(
                "is neither a URL nor `Key=Value` pairs separated by `;` (quote a value with a `;`)"
            )
        key = match["key"].replace("==", "=")
        name = _KEYWORDS.get(key.replace(" ", "").lower())
        if name is None:
            known = "Host, Port, Database, Username, Password, SSL Mode, Root Certificate"
            raise ValueError(f"has the unknown keyword {key!r}: known are {known}")
        values[name] = _unquoted(match)
        position = match.end()
    return values


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return match["double"].replace('""', '"')
    if match["single"] is not None:
        return match["single"].replace("''", "'")
    return match["plain"].strip()


def _split_host(host: str, port: str) -> tuple[str, int]:
    """`host` may carry a port; `[::1]:5432` is an IPv6 address with one, `/run/pg` a socket directory."""
    inline = ""
    if "," in host:
        return _several(host.split(",")), _port(port, DEFAULT_POSTGRES_PORT)
    if bracketed := _BRACKETED.fullmatch(host):
        host, inline = bracketed["host"], bracketed["port"] or ""
    elif not host.startswith("/") and host.count(":") == 1:
        host, _, inline = host.partition(":")
    if inline and port and inline != port:
        raise ValueError(f"names two ports, {inline} and {port}: keep one")
    return host, _port(port or inline, DEFAULT_POSTGRES_PORT)


def _several(hosts: list[str]) -> str:
    """Check the hosts one by one, each with its own port or without one."""
    for host in hosts:
        if host.startswith("/") or "[" in host or not host.strip():
            raise ValueError(
                f"has {host!r} among several hosts: write names or IPv4 addresses, as in `a,b:5433`"
            )
        _port(host.partition(":")[2], DEFAULT_POSTGRES_PORT)
    return ",".join(host.strip() for host in hosts)


def _port(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"has the port {text!r}: use a number from 1 to 65535")
    return int(text)


@dataclass(frozen=True)
class RedisAddress:
    """A Redis address: `host:port`, `redis://`, `rediss://` (TLS) or `unix://`. `str()` hides secrets."""

    url: str

    @classmethod
    def parse(cls, text: str) -> RedisAddress:
        """Read either form. Raises ValueError with a sentence that never repeats the password."""
        text = text.strip()
        if "://" in text:
            return cls(_checked_redis_url(text))
        if not text or any(character in text for character in ",;=/@ "):
            raise ValueError("is not `host:port`: for a password or TLS use redis://:password@host:6379/0")
        if text.startswith("[") or text.count(":") < 2:
            bracketed = _BRACKETED.fullmatch(text)
            host, _, port = (
                (bracketed["host"], "", bracketed["port"] or "") if bracketed else text.partition(":")
            )
        else:
            host, port = text, ""
        shown = f"[{host}]" if ":" in host else host or "localhost"
        return cls(f"redis://{shown}:{_port(port, DEFAULT_REDIS_PORT)}/0")

    @property
    def redacted(self) -> str:
        """The URL with the password hidden, fit for logs."""
        return re.sub(r"(?<=://)([^/@]*?):([^/]*)@", rf"\1:{HIDDEN}@", self.url)

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"RedisAddress({self.redacted!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(str(value))
        )


def _checked_redis_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in _REDIS_SCHEMES:
        raise ValueError(f"has the scheme {parts.scheme!r}: use redis://, rediss:// or unix://")
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("names no socket: write unix:///run/redis.sock")
    if parts.scheme != "unix":
        if not parts.hostname:
            raise ValueError("names no host: write redis://localhost:6379/0")
        _port(parts.netloc.rpartition("@")[2].rpartition("]")[2].partition(":")[2], DEFAULT_REDIS_PORT)
    return text
