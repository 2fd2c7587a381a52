"""Every word of the connection strings of .NET, libpq and hosters works, or is known to have no effect."""

from typing import Any

import asyncpg.connect_utils
import pytest
from asyncpg.connect_utils import SSLMode
from service_kit.process.connection_string import ConnectionString, RedisAddress
from service_kit.process.settings import DatabaseSettings, load, warnings_of

NPGSQL = (
    "Host=primary;Port=5432;Database=workflows;Username=app;Password=pw;SSL Mode=Require;"
    "Trust Server Certificate=true;Pooling=true;Minimum Pool Size=0;Maximum Pool Size=100;Timeout=15;"
    "Command Timeout=30;Include Error Detail=true;Application Name=orders;Keepalive=30;"
    "Connection Idle Lifetime=300;Search Path=flow;Persist Security Info=False;Enlist=true"
)
NEON = (
    "postgresql://app:pw@ep-cool-1.aws.neon.tech/workflows"
    "?sslmode=require&channel_binding=require&connect_timeout=10&application_name=orders&options=endpoint%3Dcool"
)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("Disable", SSLMode.disable),
        ("Allow", SSLMode.allow),
        ("Prefer", SSLMode.prefer),
        ("Require", SSLMode.require),
        ("VerifyCA", SSLMode.verify_ca),
        ("VerifyFull", SSLMode.verify_full),
        ("verify-full", SSLMode.verify_full),
        ("Verify_CA", SSLMode.verify_ca),
        ("REQUIRE", SSLMode.require),
    ],
)
@pytest.mark.parametrize("form", ["Host=p;Database=w;SSL Mode={}", "postgresql://p/w?sslmode={}"])
def test_every_tls_mode_of_dotnet_is_one_of_asyncpg(form: str, text: str, mode: SSLMode) -> None:
    address = ConnectionString.parse(form.format(text))
    assert SSLMode.parse(address.options["sslmode"]) is mode


def test_a_whole_string_of_npgsql_reaches_asyncpg_with_what_it_follows() -> None:
    address = ConnectionString.parse(NPGSQL)
    hosts, parameters = dsn_of_asyncpg(address.asyncpg_dsn)

    assert hosts == [("primary", 5432)]
    assert (parameters.user, parameters.password, parameters.database) == ("app", "pw", "workflows")
    assert parameters.sslmode is SSLMode.require
    assert parameters.server_settings == {"search_path": "flow"}


def test_the_url_of_a_hoster_reaches_asyncpg_without_what_its_server_would_refuse() -> None:
    _, parameters = dsn_of_asyncpg(ConnectionString.parse(NEON).asyncpg_dsn)
    assert parameters.server_settings == {"options": "endpoint=cool"}


def test_words_without_effect_are_told_at_the_start() -> None:
    environ = {"ConnectionStrings__DefaultConnection": NPGSQL}
    (line,) = warnings_of(load(DatabaseSettings, environ), environ)

    assert line.startswith("DEFAULT_CONNECTION: trustservercertificate, pooling, minimumpoolsize,")
    assert "no effect" in line


@pytest.mark.parametrize(
    "name", ["ConnectionStrings__DefaultConnection", "CONNECTIONSTRINGS__DEFAULTCONNECTION"]
)
def test_the_name_of_dotnet_in_the_environment_works(name: str) -> None:
    assert load(DatabaseSettings, {name: "Host=p;Database=w"}).default_connection.host == "p"


def test_a_full_check_of_the_certificate_trusts_what_this_machine_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "authorities.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
    address = ConnectionString.parse("Host=p;Database=w;SSL Mode=VerifyFull")
    assert "authorities.pem" in address.asyncpg_dsn
    own = ConnectionString.parse("Host=p;Database=w;SSL Mode=VerifyFull;Root Certificate=/own.pem")

    assert own.options["sslrootcert"] == "/own.pem"


@pytest.mark.parametrize(
    "text",
    [
        "redis://h:1/0?socket_timeout=abc",
        "redis://h:1/0?decode_responses=true",
        "redis://h:1/0?retry_on_timeout=true",
        "redis://h:1/0?max_connections=1",
        "redis://h:1/0?ssl_cert_reqs=none",
        "rediss://h:1/0?ssl_cert_reqs=maybe",
        "redis://h:1/jobs",
        "redis://h:99999/0",
    ],
)
def test_an_option_that_would_change_how_the_service_uses_redis_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        RedisAddress.parse(text)


def dsn_of_asyncpg(dsn: str) -> tuple[list[Any], Any]:
    parse = asyncpg.connect_utils._parse_connect_dsn_and_args
    names = ("host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile")
    more = ("direct_tls", "server_settings", "target_session_attrs", "krbsrvname", "gsslib")
    return parse(dsn=dsn, **dict.fromkeys((*names, *more)))
