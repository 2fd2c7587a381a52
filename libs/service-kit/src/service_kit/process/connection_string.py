"""The addresses of PostgreSQL and Redis, in every form in which people write them into a configuration.

These texts hold passwords. No error, `str()` or `repr()` shows a part that may be a secret, even if the text
is malformed.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from service_kit.process.connection_keywords import pairs_of, require_no_second_pair, understood
from service_kit.process.connection_url import (
    HIDDEN,
    Url,
    is_url,
    login_shown,
    port_of,
    require_host,
    simple_or_hidden,
    split_url,
)

DEFAULT_POSTGRES_PORT = 5432
DEFAULT_REDIS_PORT = 6379

_POSTGRES_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_REDIS_OPTIONS: Mapping[str, str] = {
    "db": r"\d{1,5}",
    "username": r".*",
    "password": r".*",
    "protocol": r"2|3",
    "ssl_cert_reqs": r"none|optional|required",
    "ssl_check_hostname": r"(?i:true|false|yes|no|0|1)",
    "ssl_ca_certs": r".+",
    "ssl_ca_path": r".+",
    "ssl_certfile": r".+",
    "ssl_keyfile": r".+",
    "ssl_password": r".*",
}
"""The options that a URL may set. The service decides all others, such as time-outs: an option of the URL
would override them."""

_SECRET_OPTIONS = ("sslpassword", "password", "ssl_password", "username")
_SYSTEM = "system"
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_BRACKETED = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>.*))?")

A = TypeVar("A", bound="ConnectionString | RedisAddress")


def _pydantic_schema(cls: type[A], parse: Callable[[str], A]) -> core_schema.CoreSchema:
    return core_schema.no_info_plain_validator_function(
        lambda value: value if isinstance(value, cls) else parse(str(value))
    )


@dataclass(frozen=True, repr=False)
class ConnectionString:
    """A PostgreSQL address, from a URL or from `Host=...;Port=...;Database=...;Username=...;Password=...`.

    `host` is a name, an address, or the absolute directory of a Unix socket. It may also be several names
    separated by commas, each followed by its port if it differs from `port`. `options` are libpq's parameters
    (`sslmode`, `sslrootcert`, ...). `without_effect` are words of the text that the service does not follow,
    because it decides these matters itself. To log an address, use `redacted` or `str()`.
    """

    host: str
    database: str
    port: int = DEFAULT_POSTGRES_PORT
    username: str | None = None
    password: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    without_effect: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str) -> ConnectionString:
        """Read either form. Raise ValueError with a sentence that repeats no part of the text."""
        text = text.strip()
        values, without_effect = _from_url(split_url(text)) if is_url(text) else _from_pairs(text)
        host, port = _split_host(values.pop("host", ""), values.pop("port", ""))
        if not host:
            raise ValueError("names no host: write `Host=primary;Database=workflows` or a postgresql:// URL")
        database = values.pop("database", "")
        if not database:
            raise ValueError("names no database: add `;Database=workflows` or `/workflows` to the URL")
        username, password = values.pop("username", None), values.pop("password", None)
        options = {name: value for name, value in values.items() if value}
        if options.get("sslrootcert") == _SYSTEM:
            _system_authorities()
        return cls(host, database, port, username or None, password or None, options, without_effect)

    @property
    def asyncpg_dsn(self) -> str:
        """The URL for `asyncpg.connect` and `asyncpg.create_pool`. It contains the password."""
        return self._url("postgresql", self._followed, _login(self.username, self.password))

    @property
    def redacted(self) -> str:
        """The URL for logs. It hides every secret, and every part that may be a secret by mistake."""
        shown = {name: _option_shown(name, value) for name, value in self.options.items()}
        return self._url("postgresql", shown, login_shown(self.username, self.password), redact=True)

    @property
    def _followed(self) -> dict[str, str]:
        if self.options.get("sslrootcert") != _SYSTEM:
            return dict(self.options)
        return {**self.options, "sslrootcert": _system_authorities()}

    def _url(self, scheme: str, options: Mapping[str, str], login: str, *, redact: bool = False) -> str:
        query = dict(options)
        where = ",".join(self._with_port(host) for host in self.host.split(","))
        if self.host.startswith("/"):
            where, query = "", {"host": self.host, "port": str(self.port)} | query
            login = login or "@"
        database = simple_or_hidden(self.database) if redact else quote(self.database, safe="")
        suffix = "?" + urlencode(query, safe="/*" if redact else "/") if query else ""
        return f"{scheme}://{login}{where}/{database}{suffix}"

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
        return _pydantic_schema(cls, cls.parse)


def _login(username: str | None, password: str | None) -> str:
    if not username and not password:
        return ""
    user = quote(username or "", safe="")
    return f"{user}:{quote(password, safe='')}@" if password else f"{user}@"


def _option_shown(name: str, value: str) -> str:
    return HIDDEN if name in _SECRET_OPTIONS else simple_or_hidden(value)


def _system_authorities() -> str:
    """Return the file of the certificate authorities that this machine trusts.

    Raise ValueError if there is none.
    """
    default = ssl.get_default_verify_paths().cafile
    for file in (default, *_CA_FILES):
        if file and Path(file).is_file():
            return file
    raise ValueError("needs this machine's certificate authorities, but there are none: name a file of them")


def _from_url(url: Url) -> tuple[dict[str, str], tuple[str, ...]]:
    if url.scheme not in _POSTGRES_SCHEMES:
        raise ValueError("has another scheme than postgresql: use postgresql://")
    values, without_effect = understood(url.query.items())
    given = {
        "host": unquote(url.where),
        "database": url.path[1:],
        "username": url.username,
        "password": url.password,
    }
    return {name: value for name, value in given.items() if value} | values, without_effect


def _from_pairs(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    values, without_effect = understood(pairs_of(text))
    require_no_second_pair(values)
    if values.get("sslmode", "").startswith("verify"):
        values.setdefault("sslrootcert", _SYSTEM)  # as Npgsql does; libpq looks into ~/.postgresql
    return values, without_effect


def _split_host(host: str, port: str) -> tuple[str, int]:
    """Return host and port. `host` may end with a port (`[::1]:5432`), or be the directory of a socket."""
    inline = ""
    if "," in host:
        return _several(host.split(",")), port_of(port, DEFAULT_POSTGRES_PORT)
    if bracketed := _BRACKETED.fullmatch(host):
        host, inline = bracketed["host"], bracketed["port"] or ""
    elif not host.startswith("/") and host.count(":") == 1:
        host, _, inline = host.partition(":")
    if inline and port and inline != port:
        raise ValueError("names two ports: keep one")
    number = port_of(port or inline, DEFAULT_POSTGRES_PORT)
    return (require_host(host) if host else ""), number


def _several(hosts: list[str]) -> str:
    """Check each host, with its port if it has one."""
    for number, host in enumerate(hosts, start=1):
        name, _, port = host.strip().partition(":")
        if not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"has no name or IPv4 address as host {number} of several: write `a,b:5433`")
        port_of(port, DEFAULT_POSTGRES_PORT)
    return ",".join(host.strip() for host in hosts)


@dataclass(frozen=True, repr=False)
class RedisAddress:
    """A Redis address: `host:port`, `redis://`, `rediss://` (TLS) or `unix://`. `str()` hides secrets."""

    url: str

    @classmethod
    def parse(cls, text: str) -> RedisAddress:
        """Read either form. Raise ValueError with a sentence that repeats no part of the text."""
        text = text.strip()
        if is_url(text):
            return cls(_checked_redis_url(split_url(text)))
        if not text or any(character in text for character in ",;=/@ "):
            raise ValueError(
                "is neither `host:port` nor a URL: write redis://:password@host:6379/0, with rediss:// for"
                " TLS (options in the form of StackExchange.Redis, such as `,ssl=True`, are not read)"
            )
        host, port = _redis_host(text)
        return cls(f"redis://{host}:{port_of(port, DEFAULT_REDIS_PORT)}/0")

    @property
    def redacted(self) -> str:
        """The URL for logs. It hides every secret, and every part that may be a secret by mistake."""
        url = split_url(self.url)
        query = {name: _option_shown(name, value) for name, value in url.query.items()}
        login = login_shown(url.username, url.password)
        suffix = "?" + urlencode(query, safe="/*") if query else ""
        return f"{url.scheme}://{login}{url.where}{simple_or_hidden(url.path)}{suffix}"

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"RedisAddress({self.redacted!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _pydantic_schema(cls, cls.parse)


def _redis_host(text: str) -> tuple[str, str]:
    """Split `host:port`, `[::1]:port` or an IPv6 address; put an IPv6 host into brackets."""
    if bracketed := _BRACKETED.fullmatch(text):
        host, port = bracketed["host"], bracketed["port"] or ""
    elif text.count(":") < 2:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    require_host(host or "localhost")
    return (f"[{host}]" if ":" in host else host or "localhost"), port


def _checked_redis_url(url: Url) -> str:
    if url.scheme not in _REDIS_SCHEMES:
        raise ValueError("has another scheme than redis: use redis://, rediss:// or unix://")
    _check_redis_options(url)
    if url.scheme == "unix":
        if not url.path.strip("/") or url.where:
            raise ValueError("names no socket: write unix:///run/redis.sock")
        where = ""
    else:
        if not url.where.partition(":")[0]:
            raise ValueError("names no host: write redis://localhost:6379/0")
        host, port = _redis_host(url.where)
        where = f"{host}:{port_of(port, DEFAULT_REDIS_PORT)}" if port else host
        if not re.fullmatch(r"/?\d{0,5}", url.path):
            raise ValueError("has no database number behind the host: write redis://localhost:6379/0")
    suffix = "?" + urlencode(url.query, safe="/") if url.query else ""
    return f"{url.scheme}://{_login(url.username, url.password)}{where}{quote(url.path, safe='/')}{suffix}"


def _check_redis_options(url: Url) -> None:
    for name, value in url.query.items():
        if name not in _REDIS_OPTIONS:
            raise ValueError(f"has an unknown option behind the `?`: known are {', '.join(_REDIS_OPTIONS)}")
        if not re.fullmatch(_REDIS_OPTIONS[name], value):
            raise ValueError(f"has a wrong value of {name}")
        if name.startswith("ssl_") and url.scheme != "rediss":
            raise ValueError(f"has the option {name}, which only TLS has: use rediss://")
