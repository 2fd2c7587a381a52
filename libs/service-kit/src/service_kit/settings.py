"""Settings: environment variables, read once at start, refused with one clear line each.

A setting's name is its field's name; the environment may spell it in any case and with or without
underscores (`DEFAULT_CONNECTION`, `DefaultConnection`, `defaultconnection`). An empty value means
unset. The same setting given twice with different values is a contradiction, and stops the start.

    class CatalogSettings(DatabaseSettings, ServerSettings, LogSettings):
        max_draft_bytes: int = setting(1_048_576, "largest draft, in bytes", ge=1)

    settings = load(CatalogSettings)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, PositiveInt, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_kit.connection_string import ConnectionString, RedisAddress

REQUIRED: Any = ...
S = TypeVar("S", bound="Settings")


def setting(
    default: Any, meaning: str, *, aliases: tuple[str, ...] = (), secret: bool = False, **constraints: Any
) -> Any:
    """Declare a setting: its default (`REQUIRED` for none), its meaning in a phrase with the unit.

    `aliases` are further environment names; the value of a `secret` is never printed. `constraints` are
    pydantic's (`ge`, `le`, `pattern`, ...).
    """
    extra: Any = {"aliases": list(aliases), "secret": secret}
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
    )
    read_only_connection: ConnectionString | None = setting(
        None, "the replica for reads, in either form; unset: the primary", aliases=("DATABASE_REPLICA_URL",)
    )
    # A replica of a service has at most the sum of the three to the primary, and the reads' number to the
    # read replica. With the defaults five replicas fit into PostgreSQL's own limit of 100 connections.
    # The write path gets the most of it, since a read that waits costs only its caller. It needs two for each
    # lane, and some for what is looked up before a start. Timers, the sweep and the health checks take turns,
    # and heartbeats are one short statement each.
    database_pool_size: PositiveInt = setting(8, "connections to the primary for writes", le=500)
    database_read_pool_size: PositiveInt = setting(
        8, "connections for reads, to each of primary and replica; lists share half of them", le=500
    )
    database_duty_pool_size: PositiveInt = setting(
        3, "connections to the primary for timers, heartbeats and health checks", le=500
    )
    database_statement_timeout: float = setting(30.0, "seconds one SQL statement may take", gt=0, le=3600)


class RedisSettings(Settings):
    """Redis, or what speaks its protocol."""

    redis: RedisAddress = setting(
        REQUIRED, "`host:port`, or a redis://, rediss:// or unix:// URL", aliases=("REDIS_URL",)
    )


class ServerSettings(Settings):
    """Where the service listens. Port 0 takes a free one."""

    grpc_listen: str = setting(
        "127.0.0.1:0", "gRPC: `host:port`, or `unix:/path`", pattern=r"^(.+:\d{1,5}|unix:.+)$"
    )
    http_listen: str = setting(
        "127.0.0.1:0", "HTTP (/livez, /readyz, /metrics): `host:port`", pattern=r"^.+:\d{1,5}$"
    )
    shutdown_grace: float = setting(
        20.0, "seconds for calls in flight to finish after SIGTERM", ge=0, le=3600
    )


class ConnectionAgeSettings(Settings):
    """For how long clients stay connected to the same replica."""

    connection_max_age: float = setting(
        1800.0,
        "seconds, a tenth more or less, until a client is asked to connect again, so that new replicas get"
        " their share; 0: never",
        ge=0,
        le=86_400,
    )


class LogSettings(Settings):
    """What is logged, and how."""

    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "least level that is logged")
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
    return [name.upper(), *_extra(field)["aliases"]]


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
            spellings.setdefault(_normalised(key), []).append(key)
    values: dict[str, str] = {}
    contradictions: dict[str, str] = {}
    for name, field in settings_cls.model_fields.items():
        given = [key for wanted in names_of(name, field) for key in spellings.get(_normalised(wanted), [])]
        if len({environ[key].strip() for key in given}) > 1:
            contradictions[name] = f"{' and '.join(given)} are both set, and differ: set one of them"
        elif given:
            values[name] = _lowered(field, environ[given[0]].strip())
    return values, contradictions


def _lowered(field: FieldInfo, value: str) -> str:
    """Choices are words that people write in any case (`LOG_LEVEL=INFO`)."""
    return value.lower() if getattr(field.annotation, "__origin__", None) is Literal else value


def _normalised(name: str) -> str:
    return name.replace("_", "").upper()


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {"aliases": [], "secret": False}


def _problem(settings_cls: type[Settings], fault: Any) -> str:
    if not fault["loc"]:
        return str(fault["msg"]).removeprefix("Value error, ")
    name = str(fault["loc"][0])
    field = settings_cls.model_fields[name]
    if fault["type"] == "missing":
        return f"{' or '.join(names_of(name, field))} is not set: {field.description}"
    text = str(fault["msg"]).removeprefix("Value error, ")
    may_hold_password = is_secret(field) or fault["type"] == "value_error"
    given = "" if may_hold_password else f" (it is {fault['input']!r})"
    return f"{name.upper()}: {text}{given}; it means: {field.description}"
