"""Addresses are read from URLs and from `Key=Value` pairs, and never show their password."""

from typing import Any

import asyncpg.connect_utils
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_kit.process.connection_string import ConnectionString, RedisAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Host=primary;Database=workflows", ConnectionString("primary", "workflows")),
        (
            "Host=primary;Port=6000;Database=workflows;Username=app;Password=pw",
            ConnectionString("primary", "workflows", 6000, "app", "pw"),
        ),
        ("host = primary:6000 ; DATABASE = w ;", ConnectionString("primary", "w", 6000)),
        (
            "Server=p;Initial Catalog=w;User Id=u;Pwd=x",
            ConnectionString("p", "w", username="u", password="x"),
        ),
        ('Host=p;Database=w;Password="a;b""c=d"', ConnectionString("p", "w", password='a;b"c=d')),
        ("Host=p;Database=w;Password='it''s; me'", ConnectionString("p", "w", password="it's; me")),
        ("Host=/run/pg;Port=7432;Database=w", ConnectionString("/run/pg", "w", 7432)),
        ("Host=[::1]:6000;Database=w", ConnectionString("::1", "w", 6000)),
        ("Host=p;Database=w;SSL Mode=require", ConnectionString("p", "w", options={"sslmode": "require"})),
        ("postgresql://primary/workflows", ConnectionString("primary", "workflows")),
        ("postgres://u:p%40ss@h:6000/w", ConnectionString("h", "w", 6000, "u", "p@ss")),
        ("postgresql+asyncpg://u@/w?host=/run/pg&port=7432", ConnectionString("/run/pg", "w", 7432, "u")),
        ("postgresql://[::1]:6000/w", ConnectionString("::1", "w", 6000)),
        ("postgresql://h/w?sslmode=require", ConnectionString("h", "w", options={"sslmode": "require"})),
    ],
)
def test_both_forms_are_read(text: str, expected: ConnectionString) -> None:
    assert ConnectionString.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Host=a,b:6001;Port=6000;Database=w;Username=u",
        "postgresql://u@a:6000,b:6001/w",
        "Host=a:6000, b:6001;Database=w;Username=u",
    ],
)
def test_several_hosts_reach_asyncpg_which_looks_for_the_primary_among_them(text: str) -> None:
    address = ConnectionString.parse(text)
    addresses, parameters = dsn_of_asyncpg(address.asyncpg_dsn)

    assert addresses == [("a", 6000), ("b", 6001)]
    assert (parameters.user, parameters.database) == ("u", "w")
    assert ConnectionString.parse(address.asyncpg_dsn).asyncpg_dsn == address.asyncpg_dsn


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Database=w", "names no host"),
        ("Host=p", "names no database"),
        ("Host=p;Database=w;Colour=red", "unknown keyword after `database`"),
        ("Host=p;Port=x;Database=w", "port that is not a number from 1 to 65535"),
        ("Host=p:1;Port=2;Database=w", "two ports"),
        ("Host=a,,b;Database=w", "host 2 of several"),
        ("Host=a,/run/pg;Database=w", "host 2 of several"),
        ("Host=a:x,b;Database=w", "port that is not"),
        ("primary", "neither a URL nor"),
        ("mysql://h/w", "use postgresql://"),
        ("Host=p;Database=w;Pasword=x", "did you mean `password`"),
        ("Host=p;Database=w;SSL Mode=maybe", "unknown SSL mode: use one of disable, allow"),
        ("Host=p;Database=w;Host=q", "gives host twice"),
        ("Host=p Username=u;Database=w", "is the `;` before the next keyword missing"),
        ("postgresql://u:sec#ret@h/w", "%23 "),
        ("postgresql://u:sec/ret@h/w", "%2F "),
        ("postgresql://u:sec?ret@h/w", "%3F "),
        ("postgresql://h:99999/w", "from 1 to 65535"),
        ("postgresql://h:1/w?sslmode=require&sslmode=disable", "an option twice"),
        ("postgresql://h:1/w\n?sslmode=require", "control character"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        ConnectionString.parse(text)


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1))
def test_any_password_survives_quoting_and_the_dsn_of_asyncpg(password: str) -> None:
    quoted = password.replace('"', '""')
    address = ConnectionString.parse(f'Host=p;Database=w;Username=u;Password="{quoted}"')

    assert address.password == password
    assert ConnectionString.parse(address.asyncpg_dsn) == address


def test_a_socket_directory_reaches_asyncpg() -> None:
    address = ConnectionString.parse("postgresql://postgres@/w?host=/run/pg&port=7432")
    addresses, parameters = dsn_of_asyncpg(address.asyncpg_dsn)

    assert addresses == ["/run/pg/.s.PGSQL.7432"]
    assert (parameters.user, parameters.database) == ("postgres", "w")


@pytest.mark.parametrize("password", ["hunter2", "***", "a b"])
def test_the_password_is_shown_nowhere(password: str) -> None:
    address = ConnectionString("h", "w", username="u", password=password)
    for shown in (str(address), repr(address), address.redacted):
        assert "u:***@h" in shown
    assert ConnectionString.parse(address.asyncpg_dsn).password == password
    redis = RedisAddress.parse(f"redis://u:{password}@h:1/0")

    assert str(redis) == "redis://u:***@h:1/0"
    assert str(RedisAddress.parse("rediss://:pw@h:1/0")) == "rediss://:***@h:1/0"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:6379", "redis://localhost:6379/0"),
        ("cache", "redis://cache:6379/0"),
        ("[::1]:7010", "redis://[::1]:7010/0"),
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://:pw@h:1", "rediss://:pw@h:1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_redis_is_read_as_host_and_port_or_as_a_url(text: str, url: str) -> None:
    assert RedisAddress.parse(text).url == url


@pytest.mark.parametrize(
    "text", ["", "localhost:x", "localhost:6379,password=x", "http://h", "redis://h:x", "unix://"]
)
def test_a_text_that_is_not_a_redis_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        RedisAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    ["cache:6379,password=s3cret,ssl=True,abortConnect=False", "cache:6379,abortConnect=false", "a:1,b:2"],
)
def test_the_form_of_stackexchange_redis_is_refused_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match="write redis://:password@host:6379/0, with rediss:// for TLS"):
        RedisAddress.parse(text)


def dsn_of_asyncpg(dsn: str) -> tuple[list[Any], Any]:
    parse = asyncpg.connect_utils._parse_connect_dsn_and_args
    names = ("host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile")
    more = ("direct_tls", "server_settings", "target_session_attrs", "krbsrvname", "gsslib")
    return parse(dsn=dsn, **dict.fromkeys((*names, *more)))
