"""The JSON Schema of a workflow's input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

import jsonschema_rs

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.errors import Problem

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_META_SCHEMA: Final = jsonschema_rs.Draft202012Validator({"$ref": DIALECT}, validate_formats=True)


def schema_problems(schema: Json | None) -> Iterator[Problem]:
    """What is wrong with an input schema: it must be JSON Schema 2020-12, and refer to nothing
    outside itself.

    Patterns are checked as what a linear-time regular expression engine can run.
    """
    if schema is None:
        return
    dialect = schema.get("$schema", DIALECT)
    if str(dialect).rstrip("#") != DIALECT:
        yield Problem("input_schema.$schema", f"is another dialect: only {DIALECT} is known, leave it out")
        return
    found = False
    for error in _META_SCHEMA.iter_errors(schema):
        found = True
        yield Problem(_field(error.instance_path), f"{_shortened(error.message)}: see JSON Schema 2020-12")
    if not found:
        yield from _compile_problems(schema)


def _compile_problems(schema: dict[str, Json]) -> Iterator[Problem]:
    """What only shows when the validator is built: references, and patterns."""
    try:
        jsonschema_rs.Draft202012Validator(
            schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = getattr(error, "message", "") or str(error)
        if "retrieving it failed" in message:
            message = "refers to another document: put what it needs under `$defs` and refer to `#/$defs/...`"
        elif 'is not a "regex"' in message:
            message += ": look-around and back-references are not allowed in patterns"
        yield Problem(_field(getattr(error, "instance_path", [])), _shortened(message))


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside the schema")


def _field(path: list[str | int]) -> str:
    text = "input_schema"
    for segment in path:
        text += f"[{segment}]" if isinstance(segment, int) else f".{segment}"
    return text


def _shortened(text: str, limit: int = 240) -> str:
    first_line = text.splitlines()[0] if text else "is no schema"
    return first_line if len(first_line) <= limit else f"{first_line[: limit - 3]}..."
