"""A password never appears in an error, a log, a traceback or the table of settings, however malformed."""

import io
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import structlog
from embedded_stack.settings import StackSettings
from execution_orchestrator.settings import OrchestratorSettings
from hypothesis import example, given
from hypothesis import strategies as st
from redis.asyncio import Redis
from service_kit.process.connection_string import RedisAddress
from service_kit.process.settings import LogSettings, Settings, SettingsError, load, warnings_of
from service_kit.process.settings_table import describe
from service_kit.process.telemetry import configure_logging
from workflow_sdk.addresses import require_address

from tests.every_settings import SETTINGS

CANARY = "qKzWvXjQyPgR"
WINDOW = 4
"""So many characters of the password are a leak."""

POSTGRES = (
    "postgresql://app:{}@primary:5432/workflows?sslmode=require",
    "postgresql://primary/workflows?user=app&password={}&sslmode=require",
    "postgresql://primary/workflows?sslcert=c.pem&sslkey=k.pem&sslpassword={}",
    "Host=primary;Port=5432;Database=workflows;Username=app;Password={};SSL Mode=Require",
    "Host=primary;Password='{}';Username=app;Database=workflows;Pooling=true",
    'Password="{}";Host=primary;Database=workflows',
)
REDIS = (
    "redis://app:{}@cache:6379/0",
    "redis://:{}@cache:6379/0",
    "rediss://cache:6379/0?ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_password={}",
    "redis://cache:6379/0?password={}",
    "unix://app:{}@/run/redis.sock",
    "cache:6379,password={},ssl=true",
)
ADDRESSES = ("http://app:{}@gateway:7010", "app:{}@gateway:7010", "dns:///app:{}@gateway:7010")
SPECIAL = " :/@#?&=;,%[](){}'\"\\|<>^`~!$*+\n\t\0\u2100é."
TEMPLATES = {
    "default_connection": POSTGRES,
    "read_only_connection": POSTGRES,
    "redis": REDIS,
    "catalog_address": ADDRESSES,
    "orchestrator_address": ADDRESSES,
    "grpc_listen": ADDRESSES,
    "http_listen": ADDRESSES,
}
NEEDED = {"DEFAULT_CONNECTION": "Host=p;Database=w", "REDIS": "cache:6379"}
CASES = [
    (settings, name, template)
    for settings in SETTINGS
    for name, templates in TEMPLATES.items()
    if name in settings.model_fields
    for template in templates
]


@st.composite
def mangled(draw: st.DrawFn, template: str) -> str:
    """The text as somebody writes it in a hurry: a special character too much, or one that is missing."""
    inside = draw(st.text(SPECIAL, max_size=2))
    cut = draw(st.integers(0, len(CANARY)))
    text = template.format(CANARY[:cut] + inside + CANARY[cut:])
    places = [place for place, character in enumerate(text) if character in SPECIAL]
    place = draw(st.sampled_from(places))
    other = draw(st.sampled_from(["", *SPECIAL]))
    return draw(st.sampled_from([text, text[:place] + other + text[place + 1 :]]))


def leaks(shown: str) -> list[str]:
    windows = (CANARY[at : at + WINDOW] for at in range(len(CANARY) - WINDOW + 1))
    return [window for window in windows if window in shown]


def accepted_by_the_client(address: RedisAddress) -> bool:
    try:
        Redis.from_url(address.url)
    except ValueError:
        return False
    return True


def everything_shown(settings_cls: type[Settings], environ: dict[str, str]) -> Iterator[str]:
    yield describe(settings_cls, environ)
    try:
        settings = load(settings_cls, environ)
    except SettingsError as error:
        yield "".join(traceback.format_exception(error))
        return
    yield repr(settings)
    yield from warnings_of(settings, environ)
    if isinstance(settings, StackSettings):
        yield repr(settings.own_stores)


@given(data=st.data(), case=st.sampled_from(CASES))
def test_no_setting_shows_its_password(data: st.DataObject, case: tuple[type[Settings], str, str]) -> None:
    settings_cls, name, template = case
    environ = NEEDED | {name.upper(): data.draw(mangled(template)).replace("\0", "\x01")}
    for shown in everything_shown(settings_cls, environ):
        assert not leaks(shown)


@given(st.data(), st.sampled_from(REDIS))
@example(data=None, template="redis://app:qKzW[vXjQyPgR@cache:6379/0")
def test_what_is_accepted_as_redis_is_accepted_by_the_client_too(
    data: st.DataObject | None, template: str
) -> None:
    """The client's own errors quote the text."""
    text = template if data is None else data.draw(mangled(template))
    with suppress(ValueError):  # what is refused shows nothing: see the test above
        address = RedisAddress.parse(text)
        assert accepted_by_the_client(address)


@given(st.data(), st.sampled_from(ADDRESSES))
def test_a_client_shows_no_password_of_a_wrong_address(data: st.DataObject, template: str) -> None:
    text = data.draw(mangled(template))

    with pytest.raises(ValueError) as refused:
        require_address(text)
    assert not leaks(str(refused.value))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("DEFAULT_CONNECTION", "postgresql://user:s3cret#x@host/db"),
        ("DEFAULT_CONNECTION", "postgresql://user:s3cret/x@host/db"),
        ("DEFAULT_CONNECTION", "postgresql://user:s3cret?x@host/db"),
        ("DEFAULT_CONNECTION", "Host=p;Database=w;Password=s3cret;s3cret=x"),
        ("REDIS", "redis://user:s3cret#x@host:6379"),
        ("REDIS", "redis://host:6379/0?password=s3cret"),
        ("REDIS", "redis://s3cret@host:6379/0"),
    ],
)
def test_the_passwords_that_were_shown_once_are_hidden(setting: str, value: str) -> None:
    shown = "".join(everything_shown(OrchestratorSettings, NEEDED | {setting: value}))
    assert "s3cret" not in shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_in_the_log_shows_no_local_variables(log_format: str, logging_as_before: None) -> None:
    out = io.StringIO()
    configure_logging("test", LogSettings(log_format=log_format), out)  # type: ignore[arg-type]
    _log_an_error_of(_fail_with_a_secret)

    assert "went wrong" in out.getvalue()
    assert not leaks(out.getvalue())


def _fail_with_a_secret() -> None:
    password = "".join(CANARY)
    raise RuntimeError(f"went wrong after {len(password)} characters")


def _log_an_error_of(work: Callable[[], None]) -> None:
    try:
        work()
    except RuntimeError as error:
        structlog.get_logger("secrets").error("it_failed", exc_info=error)
