"""Settings: environment variables, read once when a service starts; each fault is one clear line.

The name of a setting is the name of its field. The environment may spell it in any case, with or without
underscores (`DEFAULT_CONNECTION`, `DefaultConnection`, `defaultconnection`). If other programs use the name
too, such as `namespace`, it gets a prefix: WORKFLOW_NAMESPACE. An empty value means unset. If the environment
gives a setting two different values, the service does not start.

    class CatalogSettings(DatabaseSettings, ServerSettings, LogSettings):
        max_draft_bytes: int = setting(1_048_576, "largest draft, in bytes", ge=1)

    settings = load(CatalogSettings)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_kit.process.addresses import GrpcListenAddress, ListenAddress
from service_kit.process.connection_string import ConnectionString, RedisAddress
from service_kit.process.settings_problem import problem_of

PREFIX = "WORKFLOW_"
DOTNET_PREFIX = "ConnectionStrings__"
REQUIRED: Any = ...
S = TypeVar("S", bound="Settings")


def setting(
    default: Any,
    meaning: str,
    *,
    aliases: tuple[str, ...] = (),
    secret: bool = False,
    prefixed: bool = False,
    connection: bool = False,
    **constraints: Any,
) -> Any:
    """Declare a setting: its default (or `REQUIRED`), and its meaning as a phrase with the unit.

    `aliases` are further names in the environment. The value of a `secret` is never printed. A `prefixed`
    setting has the name WORKFLOW_NAME in the environment; NAME may be meant for another program, so it has no
    effect. A `connection` also accepts .NET's name (ConnectionStrings__DefaultConnection). `constraints` are
    pydantic's (`ge`, `le`, `pattern`, ...); a number needs both bounds.
    """
    extra: Any = {"aliases": list(aliases), "secret": secret, "prefixed": prefixed, "connection": connection}
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


class SettingsError(Exception):
    """The configuration is wrong; `problems` has one line for each fault, ready to print."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Base of every group of settings. A service inherits from several groups to combine them."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Any, *_: Any, **__: Any
    ) -> tuple[Any, ...]:
        """Return the sources of values; pydantic-settings calls this."""
        return (init_settings,)  # `load` reads the environment, because it knows the spellings


class DatabaseSettings(Settings):
    """PostgreSQL: the primary, and the replica for reads."""

    default_connection: ConnectionString = setting(
        REQUIRED,
        "the primary: a postgresql:// URL, or"
        " `Host=primary;Port=5432;Database=workflows;Username=...;Password=...`",
        aliases=("DATABASE_URL",),
        connection=True,
    )
    read_only_connection: ConnectionString | None = setting(
        None,
        "the replica for reads, in either form; unset: the primary",
        aliases=("DATABASE_REPLICA_URL",),
        connection=True,
    )
    # A process of a service opens at most the sum of these three to the primary, and as many as for reads to
    # the read replica. With the defaults, five processes fit into PostgreSQL's own limit of 100 connections.
    # Writes need two connections for each lane, and some for the reads before a start. Timers, the sweep and
    # the health checks take turns, and a heartbeat is one short statement.
    database_pool_size: int = setting(8, "connections to the primary for writes", prefixed=True, ge=1, le=500)
    database_read_pool_size: int = setting(
        8,
        "connections for reads, to each of primary and replica; lists share half of them",
        prefixed=True,
        ge=1,
        le=500,
    )
    database_duty_pool_size: int = setting(
        3,
        "connections to the primary for timers, heartbeats and health checks",
        prefixed=True,
        ge=1,
        le=500,
    )
    # PostgreSQL counts in milliseconds, and 0 means no limit.
    database_statement_timeout: float = setting(
        30.0, "seconds one SQL statement may take", prefixed=True, ge=0.1, le=3600
    )


class RedisSettings(Settings):
    """Redis, or a server that speaks its protocol."""

    redis: RedisAddress = setting(
        REQUIRED,
        "`host:port`, or a redis://, rediss:// or unix:// URL",
        aliases=("REDIS_URL",),
        connection=True,
    )


class ServerSettings(Settings):
    """The addresses at which the service listens. Port 0 takes a free port."""

    grpc_listen: GrpcListenAddress = setting("127.0.0.1:0", "gRPC: `host:port`, or `unix:/path`")
    http_listen: ListenAddress = setting("127.0.0.1:0", "HTTP (/livez, /readyz, /metrics): `host:port`")
    shutdown_grace: float = setting(
        20.0, "seconds for calls in flight to finish after SIGTERM", ge=0, le=3600
    )


class CallSettings(Settings):
    """How much a server accepts at a time."""

    max_calls: int = setting(
        20_000,
        "calls that are served at a time, streams and waits included; further calls fail with OVERLOADED,"
        " except those of workers and of health checks",
        ge=100,
        le=1_000_000,
    )


MIN_AGE_SECONDS = 0.5


def _never_or_a_while(seconds: float) -> float:
    if 0 < seconds < MIN_AGE_SECONDS:
        raise ValueError(f"must be 0 (never), or a number from {MIN_AGE_SECONDS} to 86400")
    return seconds


class ConnectionAgeSettings(Settings):
    """How long clients stay connected to the same replica."""

    connection_max_age: Annotated[float, AfterValidator(_never_or_a_while)] = setting(
        1800.0,
        "seconds, a tenth more or less, until a client is asked to connect again, so that new replicas get"
        " their share; 0: never",
        ge=0,
        le=86_400,
    )


# LOG_LEVEL is a common name, so accept the names that other programs give to these levels.
_LEVELS = {"trace": "debug", "verbose": "debug", "notice": "info", "warn": "warning"} | dict.fromkeys(
    ("critical", "fatal", "panic"), "error"
)


class LogSettings(Settings):
    """Which events are logged, and in which form."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(lambda word: _LEVELS.get(word, word))
    ] = setting("info", "lowest level that is logged")
    log_format: Literal["json", "console"] = setting("json", "JSON lines, or coloured text for people")


def load(settings_cls: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read the settings from `environ`, by default of this process. Raise SettingsError with every fault."""
    values, contradictions = read_environment(settings_cls, os.environ if environ is None else environ)
    problems = list(contradictions.values())
    try:
        settings = settings_cls(**values)
    except ValidationError as error:
        faults = [
            fault for fault in error.errors() if not fault["loc"] or fault["loc"][0] not in contradictions
        ]
        raise SettingsError(problems + [_problem(settings_cls, fault) for fault in faults]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def names_of(name: str, field: FieldInfo) -> list[str]:
    """Return the documented environment names of a setting: its own name, then its aliases."""
    prefix = PREFIX if _extra(field).get("prefixed") else ""
    return [prefix + name.upper(), *_extra(field)["aliases"]]


def warnings_of(settings: Settings, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each variable or word in `environ` that looks like a setting but has no effect."""
    environ = os.environ if environ is None else environ
    given = {normalised(key): key for key, value in environ.items() if value.strip()}
    lines = []
    for name, field in type(settings).model_fields.items():
        wanted, *_ = names_of(name, field)
        former = given.get(normalised(name))
        if wanted != name.upper() and former is not None and normalised(wanted) not in given:
            lines.append(f"{former} has no effect: the name of this setting is {wanted} now")
        value = getattr(settings, name)
        if isinstance(value, ConnectionString) and value.without_effect:
            words = ", ".join(value.without_effect)
            lines.append(f"{wanted}: {words} have no effect, the service decides these itself")
    return lines


def accepted_names(name: str, field: FieldInfo) -> list[str]:
    """Return all environment names that work: the documented ones, and .NET's name of a connection."""
    return names_of(name, field) + [f"{DOTNET_PREFIX}{name}"] * bool(_extra(field).get("connection"))


def is_secret(field: FieldInfo) -> bool:
    """Return whether the value must not be printed."""
    return bool(_extra(field)["secret"])


def read_environment(
    settings_cls: type[Settings], environ: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the raw values by field name, and a line for each contradiction, also by field name."""
    spellings: dict[str, list[str]] = {}
    for key, value in environ.items():
        if value.strip():
            spellings.setdefault(normalised(key), []).append(key)
    values: dict[str, str] = {}
    contradictions: dict[str, str] = {}
    for name, field in settings_cls.model_fields.items():
        given = [
            key for wanted in accepted_names(name, field) for key in spellings.get(normalised(wanted), [])
        ]
        if len({environ[key].strip() for key in given}) > 1:
            contradictions[name] = f"{' and '.join(given)} are both set, and differ: set one of them"
        elif given:
            values[name] = _lowered(field, environ[given[0]].strip())
    return values, contradictions


def _lowered(field: FieldInfo, value: str) -> str:
    """Return a choice in lower case, because people write it in any case (`LOG_LEVEL=INFO`)."""
    return value.lower() if getattr(field.annotation, "__origin__", None) is Literal else value


def normalised(name: str) -> str:
    """Return the form that all spellings of a name share."""
    return name.replace("_", "").upper()


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return (
        extra
        if isinstance(extra, dict)
        else {"aliases": [], "secret": False, "prefixed": False, "connection": False}
    )


def _problem(settings_cls: type[Settings], fault: Any) -> str:
    if not fault["loc"]:
        return str(fault["msg"]).removeprefix("Value error, ")
    name = str(fault["loc"][0])
    field = settings_cls.model_fields[name]
    names = names_of(name, field)
    if fault["type"] == "missing":
        return f"{' or '.join(names)} is not set: {field.description}"
    return f"{names[0]}: {problem_of(field, fault, secret=is_secret(field))}; it means: {field.description}"
