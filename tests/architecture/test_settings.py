"""Every setting of every service has a range; a value outside of it is refused in one line with the range."""

from typing import Any

import pytest
from execution_orchestrator.settings import OrchestratorSettings
from pydantic import ValidationError
from service_kit.process.settings import Settings, SettingsError, load, names_of
from service_kit.process.settings_problem import bounds_of

from tests.every_settings import SETTINGS

NEEDED = {"DEFAULT_CONNECTION": "Host=p;Database=w", "REDIS": "cache:6379"}
FREE_TEXT = {"workflow_data_dir"}
"""A path may be anything."""

FIELDS = [(settings, name) for settings in SETTINGS for name in settings.model_fields]
NUMBERS = [(cls, name) for cls, name in FIELDS if bounds_of(cls.model_fields[name])]
TEXTS = [(cls, name) for cls, name in FIELDS if (cls, name) not in NUMBERS and name not in FREE_TEXT]
ADDRESSES = [(cls, name) for cls, name in TEXTS if name.endswith(("_listen", "_address"))]
NO_NUMBERS = ("", "x", "1,5", "nan", "inf", "-inf", "0x10", "1e400", "9" * 5000, "-1e-300x")

# What other programs may have set: a generic name must not be a setting of ours.
GENERIC = [
    "NAMESPACE",
    "QUEUES",
    "QUEUE",
    "SLOTS",
    "WORKERS",
    "WORKER_ID",
    "CHILD_PROCESSES",
    "JOBS_PER_WORKER",
    "DATABASE_POOL_SIZE",
    "DATABASE_STATEMENT_TIMEOUT",
    "NAME",
    "HOST",
    "PORT",
    "USER",
    "PASSWORD",
    "TIMEOUT",
    "LEVEL",
    "MODULES",
    "CONCURRENCY",
]


THE_USERS_OWN = {
    "DefaultConnection": "Host=primary;Database=workflows",
    "ReadOnlyConnection": "Host=replica;Database=workflows",
    "Redis": "localhost:6379",
    "MaxWorkers": "10",
    "QueueTimeout": "300",
    "RetryAttempts": "3",
}
"""The configuration that the users wrote down, to the letter."""

READ_AS = {
    "default_connection": "postgresql://primary:5432/workflows",
    "read_only_connection": "postgresql://replica:5432/workflows",
    "redis": "redis://localhost:6379/0",
    "max_workers": "10",
    "queue_timeout": "300.0",
    "retry_attempts": "3",
}


def test_the_configuration_that_the_users_wrote_down_is_read_by_every_process() -> None:
    found = set()
    for settings_cls in SETTINGS:
        settings = load(settings_cls, THE_USERS_OWN)
        for name in READ_AS.keys() & settings_cls.model_fields.keys():
            assert str(getattr(settings, name)) == READ_AS[name], (settings_cls, name)
            found.add(name)

    assert found == READ_AS.keys()


def refused(settings_cls: type[Settings], name: str, value: str) -> list[str]:
    wanted, *_ = names_of(name, settings_cls.model_fields[name])
    try:
        load(settings_cls, NEEDED | {wanted: value})
    except SettingsError as error:
        return error.problems
    return []


def refused_fields(settings_cls: type[Settings], given: dict[str, Any]) -> set[Any]:
    """The fields that are wrong in themselves; a rule between two settings names none."""
    try:
        settings_cls(**given)
    except ValidationError as error:
        return {name for fault in error.errors() for name in fault["loc"]}
    return set()


@pytest.mark.parametrize(("settings_cls", "name"), FIELDS)
def test_every_number_has_a_least_and_a_greatest_value(settings_cls: type[Settings], name: str) -> None:
    field = settings_cls.model_fields[name]
    if field.annotation in (int, float, int | None, float | None):
        assert len(bounds_of(field)) == 2


@pytest.mark.parametrize(("settings_cls", "name"), NUMBERS)
def test_a_number_outside_of_its_range_is_refused_with_the_range(
    settings_cls: type[Settings], name: str
) -> None:
    bounds = bounds_of(settings_cls.model_fields[name])
    least, greatest = bounds["ge"], bounds["le"]
    whole = (least - 1, greatest + 1, -(10**30), 10**30)
    for value in (*(f"{each:.0f}" for each in whole), *NO_NUMBERS[1:]):
        (line,) = refused(settings_cls, name, value)
        assert f"from {least:g} to " in line
        assert "\n" not in line
        assert len(line) < 500


@pytest.mark.parametrize(("settings_cls", "name"), NUMBERS)
def test_both_ends_of_a_range_are_accepted_by_the_field(settings_cls: type[Settings], name: str) -> None:
    bounds = bounds_of(settings_cls.model_fields[name])
    for value in (bounds["ge"], bounds["le"]):
        fields = settings_cls.model_fields
        given: dict[str, Any] = {key.lower(): text for key, text in NEEDED.items() if key.lower() in fields}
        given[name] = value
        assert name not in refused_fields(settings_cls, given)


@pytest.mark.parametrize(("settings_cls", "name"), TEXTS)
def test_a_text_has_a_form_or_a_greatest_length(settings_cls: type[Settings], name: str) -> None:
    (line,) = refused(settings_cls, name, "\x07?" * 100_000)

    assert "\n" not in line
    assert len(line) < 500


@pytest.mark.parametrize(
    "value",
    [
        "0.0.0.0:99999",
        "0.0.0.0:65536",
        "127.0.0.1",
        ":7010",
        "host:",
        "host:-1",
        "host:1e3",
        "a b:1",
        "a:b:1",
    ],
)
@pytest.mark.parametrize(("settings_cls", "name"), ADDRESSES)
def test_an_impossible_address_is_refused_in_one_line(
    settings_cls: type[Settings], name: str, value: str
) -> None:
    (line,) = refused(settings_cls, name, value)
    assert "65535" in line


@pytest.mark.parametrize("settings_cls", SETTINGS)
def test_no_setting_has_a_name_that_other_programs_use(settings_cls: type[Settings]) -> None:
    names = {
        spelling for name, field in settings_cls.model_fields.items() for spelling in names_of(name, field)
    }
    assert not names & set(GENERIC)
    foreign = dict.fromkeys(GENERIC, "3 tenants; drop")

    assert load(settings_cls, NEEDED | foreign) == load(settings_cls, NEEDED)


@pytest.mark.parametrize("seconds", ["0.0001", "0.49"])
def test_connections_have_no_age_that_would_end_them_at_once(seconds: str) -> None:
    (line,) = refused(OrchestratorSettings, "connection_max_age", seconds)
    assert "must be 0 (never), or a number from 0.5 to 86400" in line
