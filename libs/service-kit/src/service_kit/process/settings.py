"""Settings: environment variables, read once at start, refused with one clear line each.

A setting's name is its field's name; the environment may spell it in any case and with or without
underscores (`DEFAULT_CONNECTION`, `DefaultConnection`, `defaultconnection`). A name that other programs use
too, such as `namespace`, gets the prefix: WORKFLOW_NAMESPACE. An empty value means unset. The same setting
given twice with different values is a contradiction, and stops the start.

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
    """Declare a setting: its default (`REQUIRED` for none), its meaning in a phrase with the unit.

    `aliases` are further environment names; the value of a `secret` is never printed. A `prefixed` setting is
    WORKFLOW_NAME in the environment, and NAME, which may be meant for another program, has no effect. A
    `connection` is accepted under .NET's name too (ConnectionStrings__DefaultConnection).
    `constraints` are pydantic's (`ge`, `le`, `pattern`, ...); a number needs both bounds.
    """
    extra: Any = {"aliases": list(aliases), "secret": secret, "prefixed": prefixed, "connection": connection}
    return Field(default, description=meaning, json_schema_extra=extra, **constraints)


class SettingsError(Exception):
    """The configuration is wrong; `problems` has one line for each fault, fit to be printed as they are."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Base of every group of settings; groups are combined by inheriting from several."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Any, *_: Any, **__: Any
    ) -> tuple[Any, ...]:
        """Of pydantic-settings: where values come from."""
        return (init_settings,)  # the environment is read by `load`, which knows the spellings


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
    # A replica of a service has at most the sum of the three to the primary, and the reads' number to the
    # read replica. With the defaults five replicas fit into PostgreSQL's own limit of 100 connections.
    # The write path gets the most of it, since a read that waits costs only its caller. It needs two for each
    # lane, and some for what is looked up before a start. Timers, the sweep and the health checks take turns,
    # and heartbeats are one short statement each.
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
    # PostgreSQL counts in milliseconds, and takes 0 for no limit.
    database_statement_timeout: float = setting(
        30.0, "seconds one SQL statement may take", prefixed=True, ge=0.1, le=3600
    )


class RedisSettings(Settings):
    """Redis, or what speaks its protocol."""

    redis: RedisAddress = setting(
        REQUIRED,
        "`host:port`, or a redis://, rediss:// or unix:// URL",
        aliases=("REDIS_URL",),
        connection=True,
    )


class ServerSettings(Settings):
    """Where the service listens. Port 0 takes a free one."""

    grpc_listen: GrpcListenAddress = setting("127.0.0.1:0", "gRPC: `host:port`, or `unix:/path`")
    http_listen: ListenAddress = setting("127.0.0.1:0", "HTTP (/livez, /readyz, /metrics): `host:port`")
    shutdown_grace: float = setting(
        20.0, "seconds for calls in flight to finish after SIGTERM", ge=0, le=3600
    )


class CallSettings(Settings):
    """How much a server takes on."""

    max_calls: int = setting(
        20_000,
        "calls that are served at a time, streams and waits included; further ones are refused as OVERLOADED,"
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
    """For how long clients stay connected to the same replica."""

    connection_max_age: Annotated[float, AfterValidator(_never_or_a_while)] = setting(
        1800.0,
        "seconds, a tenth more or less, until a client is asked to connect again, so that new replicas get"
        " their share; 0: never",
        ge=0,
        le=86_400,
    )


# LOG_LEVEL and LOG_FORMAT are common names: what other programs call these levels works too.
_LEVELS = {"trace": "debug", "verbose": "debug", "notice": "info", "warn": "warning"} | dict.fromkeys(
    ("critical", "fatal", "panic"), "error"
)


class LogSettings(Settings):
    """What is logged, and how."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(lambda word: _LEVELS.get(word, word))
    ] = setting("info", "least level that is logged")
    log_format: Literal["json", "console"] = setting("json", "JSON lines, or coloured text for people")


def load(settings_cls: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read the settings from `environ` (by default the process's). Raises SettingsError with every fault."""
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
    """The environment names of a setting as they are documented: its own, then its aliases."""
    prefix = PREFIX if _extra(field).get("prefixed") else ""
    return [prefix + name.upper(), *_extra(field)["aliases"]]


def warnings_of(settings: Settings, environ: Mapping[str, str] | None = None) -> list[str]:
    """A line for each thing in `environ` that looks like a setting, and has no effect."""
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
    """The environment names that work: those of the documentation, and .NET's for a connection."""
    return names_of(name, field) + [f"{DOTNET_PREFIX}{name}"] * bool(_extra(field).get("connection"))


def is_secret(field: FieldInfo) -> bool:
    """Whether the value must not be printed."""
    return bool(_extra(field)["secret"])


def read_environment(
    settings_cls: type[Settings], environ: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The raw values by field name; and by field name a line for each contradiction."""
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
    """Choices are words that people write in any case (`LOG_LEVEL=INFO`)."""
    return value.lower() if getattr(field.annotation, "__origin__", None) is Literal else value


def normalised(name: str) -> str:
    """Return what all spellings of a name have in common."""
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
