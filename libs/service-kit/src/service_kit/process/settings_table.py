"""Every setting with its default, its current value and its meaning, for `config` and `--help`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from service_kit.process.connection_url import HIDDEN
from service_kit.process.settings import Settings, SettingsError, is_secret, load, names_of, read_environment

INVALID = "(invalid)"


def describe(settings_cls: type[Settings], environ: Mapping[str, str] | None = None) -> str:
    """Return two lines for each setting, without secrets. Raise nothing if the configuration is wrong."""
    environ = os.environ if environ is None else environ
    in_force = _in_force(settings_cls, environ)
    blocks = []
    for name, field in settings_cls.model_fields.items():
        names = ", ".join(names_of(name, field))
        default = "required" if field.is_required() else f"default {_shown(field, field.default)}"
        blocks.append(f"  {names} = {in_force[name]}   ({default})\n      {field.description}")
    return "\n".join(blocks)


def _in_force(settings_cls: type[Settings], environ: Mapping[str, str]) -> dict[str, str]:
    try:
        settings = load(settings_cls, environ)
    except SettingsError:
        given, _ = read_environment(settings_cls, environ)
        return {name: _one(settings_cls, name, given) for name in settings_cls.model_fields}
    return {name: _shown(field, getattr(settings, name)) for name, field in settings_cls.model_fields.items()}


def _one(settings_cls: type[Settings], name: str, given: Mapping[str, str]) -> str:
    """Return the value of one setting, for a configuration that is not valid as a whole."""
    field = settings_cls.model_fields[name]
    if name not in given:
        return "(not set)" if field.is_required() else _shown(field, field.default)
    try:
        settings_cls.__pydantic_validator__.validate_assignment(
            settings_cls.model_construct(), name, given[name]
        )
    except ValueError:
        return INVALID
    return HIDDEN if is_secret(field) else "(set)"


def _shown(field: FieldInfo, value: Any) -> str:
    if value is None or value == "":
        return "(not set)"
    return HIDDEN if is_secret(field) else str(value)
