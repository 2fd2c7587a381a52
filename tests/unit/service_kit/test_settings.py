"""Settings are read from the environment in every spelling, and refused with one clear line each."""

import re
from pathlib import Path

import asyncpg.connect_utils
import pytest
from service_kit.process.connection_string import ConnectionString
from service_kit.process.foreign_settings import LIBPQ_VARIABLES, forget_libpq_variables
from service_kit.process.settings import (
    DatabaseSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
    SettingsError,
    load,
    setting,
    warnings_of,
)
from service_kit.process.settings_table import describe


class ExampleSettings(DatabaseSettings, RedisSettings, ServerSettings, LogSettings):
    """All groups, and one of its own."""

    max_workers: int = setting(10, "ceiling of worker instances", ge=1, le=1000)
    api_token: str = setting("", "what callers present", secret=True)


class PrefixedSettings(ExampleSettings):
    """One with a name that other programs have too."""

    namespace: str = setting("default", "the namespace", prefixed=True)


REQUIRED = {"DEFAULT_CONNECTION": "Host=primary;Database=workflows", "REDIS": "localhost:6379"}


@pytest.mark.parametrize("name", ["MAX_WORKERS", "MaxWorkers", "maxworkers", "max_workers", "MAXWORKERS"])
def test_a_name_works_in_any_case_with_or_without_underscores(name: str) -> None:
    assert load(ExampleSettings, REQUIRED | {name: "7"}).max_workers == 7


@pytest.mark.parametrize(
    "name", ["DefaultConnection", "DEFAULTCONNECTION", "default_connection", "DATABASE_URL"]
)
def test_the_users_names_of_the_primary_are_all_accepted(name: str) -> None:
    settings = load(ExampleSettings, {name: "Host=primary;Database=workflows", "Redis": "localhost:6379"})
    assert settings.default_connection == ConnectionString("primary", "workflows")


def test_the_replica_and_redis_have_their_aliases() -> None:
    environment = {"DATABASE_URL": "postgresql://a/w", "DATABASE_REPLICA_URL": "postgresql://b/w"}
    settings = load(ExampleSettings, environment | {"REDIS_URL": "redis://c:1/0"})

    assert settings.read_only_connection == ConnectionString("b", "w")
    assert settings.redis.url == "redis://c:1/0"


def test_what_is_not_set_has_its_default_and_empty_means_not_set() -> None:
    settings = load(ExampleSettings, REQUIRED | {"MAX_WORKERS": "", "READ_ONLY_CONNECTION": "  "})

    assert settings.max_workers == 10
    assert settings.read_only_connection is None


def test_choices_may_be_written_in_any_case() -> None:
    assert load(ExampleSettings, REQUIRED | {"LogLevel": "WARNING"}).log_level == "warning"


def test_two_names_of_one_setting_with_different_values_are_a_contradiction() -> None:
    environment = REQUIRED | {"DATABASE_URL": "postgresql://other/workflows"}
    assert problems(environment) == [
        "DEFAULT_CONNECTION and DATABASE_URL are both set, and differ: set one of them"
    ]


def test_two_names_with_the_same_value_are_not_a_contradiction() -> None:
    environment = REQUIRED | {"DATABASE_URL": REQUIRED["DEFAULT_CONNECTION"]}
    assert load(ExampleSettings, environment).default_connection.host == "primary"


def test_every_fault_is_told_at_once_with_the_name_the_fault_and_the_meaning() -> None:
    told = problems({"REDIS": "localhost:x", "LOG_FORMAT": "xml", "MAX_WORKERS": "0"})

    assert len(told) == 4
    assert any(line.startswith("DEFAULT_CONNECTION or DATABASE_URL is not set") for line in told)
    assert any(line.startswith("REDIS: has a port that is not a number from 1 to 65535") for line in told)
    assert any("LOG_FORMAT" in line and "'json' or 'console'" in line and "'xml'" in line for line in told)
    assert any("MAX_WORKERS" in line and "ceiling of worker instances" in line for line in told)


def test_a_fault_in_a_connection_string_does_not_repeat_its_password() -> None:
    told = problems(REQUIRED | {"DEFAULT_CONNECTION": "Host=p;Password=hunter2;Colour=red"})

    assert "unknown keyword after `password`" in told[0]
    assert "hunter2" not in told[0]


def test_the_table_shows_values_in_force_defaults_and_meanings_but_no_secret() -> None:
    environment = {"DefaultConnection": "Host=primary;Database=w;Username=u;Password=hunter2", "REDIS": "r:1"}
    table = describe(ExampleSettings, environment | {"API_TOKEN": "s3cret", "MaxWorkers": "7"})

    assert "MAX_WORKERS = 7   (default 10)" in table
    assert "DEFAULT_CONNECTION, DATABASE_URL = postgresql://u:***@primary:5432/w   (required)" in table
    assert "ceiling of worker instances" in table
    assert "hunter2" not in table
    assert "s3cret" not in table


def test_the_table_of_a_wrong_configuration_marks_what_is_wrong_and_hides_the_rest() -> None:
    table = describe(ExampleSettings, {"MAX_WORKERS": "many", "API_TOKEN": "s3cret"})

    assert "MAX_WORKERS = (invalid)" in table
    assert "DEFAULT_CONNECTION, DATABASE_URL = (not set)" in table
    assert "s3cret" not in table


def test_a_generic_name_has_no_effect_and_the_user_is_told_the_new_one() -> None:
    environ = REQUIRED | {"Namespace": "prod"}
    settings = load(PrefixedSettings, environ)

    assert settings.namespace == "default"
    assert warnings_of(settings, environ) == [
        "Namespace has no effect: the name of this setting is WORKFLOW_NAMESPACE now"
    ]


@pytest.mark.parametrize("name", ["WORKFLOW_NAMESPACE", "WorkflowNamespace"])
def test_a_prefixed_name_works_in_every_spelling_beside_the_generic_one(name: str) -> None:
    environ = REQUIRED | {"NAMESPACE": "prod", name: "billing"}
    settings = load(PrefixedSettings, environ)

    assert settings.namespace == "billing"
    assert warnings_of(settings, environ) == []


@pytest.mark.parametrize(
    ("word", "level"), [("WARN", "warning"), ("Critical", "error"), ("trace", "debug"), ("fatal", "error")]
)
def test_the_levels_of_other_programs_are_understood(word: str, level: str) -> None:
    assert load(ExampleSettings, REQUIRED | {"LOG_LEVEL": word}).log_level == level


def test_everything_that_asyncpg_reads_from_the_environment_is_forgotten() -> None:
    source = Path(asyncpg.connect_utils.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r"(?:getenv|environ\.get)\(\s*['\"](PG[A-Z]+)", source))
    assert read <= LIBPQ_VARIABLES
    environ = {"PATH": "/bin", "PGDATA_OF_MINE": "x"} | dict.fromkeys(read, "hostile")

    assert forget_libpq_variables(environ) == sorted(read)
    assert environ == {"PATH": "/bin", "PGDATA_OF_MINE": "x"}


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(ExampleSettings, environment)
    return refused.value.problems
