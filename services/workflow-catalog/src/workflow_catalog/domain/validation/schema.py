"""Check the JSON Schemas of a definition, which describe the workflow's input and the tasks' outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NoReturn

import jsonschema_rs
from workflow_schemas import Path, TooCostlyError, cost_of, subschemas, target
from workflow_schemas.limits import MAX_PATTERN_BYTES, MAX_SCHEMA_STEPS

from workflow_catalog.domain.definition import Json
from workflow_catalog.domain.limits import MAX_DESCRIBED_SCHEMA_BYTES, MAX_PATTERNS, MAX_PROBLEMS
from workflow_catalog.domain.problem import Problem, unknown

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_META_SCHEMA: Final = jsonschema_rs.Draft202012Validator({"$ref": DIALECT})
_DYNAMIC: Final = ("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$anchor")


def schema_problems(field: str, schema: Json | None) -> Iterator[Problem]:
    """Yield the problems of the schema at `field`.

    It must be a JSON Schema 2020-12, refer to nothing outside itself, and check every value in bounded time.
    A regular expression engine that takes linear time must be able to run its patterns.
    """
    if schema is None:
        return
    dialect = schema.get("$schema", DIALECT)
    if str(dialect).rstrip("#") != DIALECT:
        yield Problem(f"{field}.$schema", f"is another dialect: only {DIALECT} is supported; remove it")
        return
    for check in (_form_problems, _part_problems, _cost_problems, _compile_problems):
        found = list(islice(check(field, schema), MAX_PROBLEMS))
        yield from found
        if found:  # the next checks are safe and useful only for a schema that has passed this one
            return


def _form_problems(field: str, schema: Json) -> Iterator[Problem]:
    for error in _form_errors(schema):
        yield Problem(
            _at(field, error.instance_path), f"{_shortened(error.message)}: see JSON Schema 2020-12"
        )


def _form_errors(schema: Json) -> Iterable[Any]:
    """Return the errors of form.

    The validator finds all errors, each with a copy of the value, before it returns the first one. So ask it
    for all errors only if the schema is small, and else only for the first one.
    """
    if _META_SCHEMA.is_valid(schema):
        return []
    if len(json.dumps(schema)) <= MAX_DESCRIBED_SCHEMA_BYTES:
        return list(_META_SCHEMA.iter_errors(schema))
    try:
        _META_SCHEMA.validate(schema)
    except jsonschema_rs.ValidationError as error:
        return [error]
    return []


def _part_problems(field: str, schema: Json) -> Iterator[Problem]:
    """Yield a problem for each reference that does not lead into the schema, and for too many patterns."""
    patterns = 0
    for path, part in subschemas(schema):
        patterns += ("pattern" in part) + len(part.get("patternProperties", ()))
        for keyword in _DYNAMIC:
            if keyword in part:
                where = _at(field, [*path, keyword])
                yield Problem(where, "is not supported: refer to a part by its place, `#/$defs/...`")
        if "$id" in part and path:
            yield Problem(_at(field, [*path, "$id"]), "is only allowed at the top: remove it")
        if "$ref" in part and target(part["$ref"], schema) is None:
            yield _reference_problem(_at(field, [*path, "$ref"]), str(part["$ref"]), schema)
    if patterns > MAX_PATTERNS:
        yield Problem(field, f"has {patterns:,} patterns, over the limit of {MAX_PATTERNS}: check less")


def _reference_problem(field: str, reference: str, schema: Mapping[str, Json]) -> Problem:
    if not reference.startswith("#"):
        sentence = "refers to another document: put what it needs under `$defs` and refer to `#/$defs/...`"
        return Problem(field, sentence)
    known = [f"#/$defs/{name}" for name in schema.get("$defs", {})]
    return unknown(field, f"`{_shortened(reference)}` is missing", reference, known, "put it under `$defs`")


def _cost_problems(field: str, schema: Json) -> Iterator[Problem]:
    try:
        steps = cost_of(schema).steps_per_byte
    except TooCostlyError as error:
        yield Problem(field, str(error))
        return
    if steps > MAX_SCHEMA_STEPS:
        sentence = (
            f"takes up to {steps:,} steps for each byte of a value, over the limit of {MAX_SCHEMA_STEPS:,}: "
            "use fewer patterns at one place, and no long `enum` of objects, lists or mixed values"
        )
        yield Problem(field, sentence)


def _compile_problems(field: str, schema: Json) -> Iterator[Problem]:
    """Yield the problems of patterns, which only show when the validator is built."""
    options = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES)
    try:
        jsonschema_rs.Draft202012Validator(schema, retriever=_refuse, pattern_options=options)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        message = _shortened(getattr(error, "message", "") or str(error))
        if message.endswith('is not a "regex"'):
            message += " that takes linear time and little memory: it may have no look-around, no"
            message += " back-references and no large repetitions"
        yield Problem(_at(field, getattr(error, "instance_path", [])), message)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is outside the schema")


def _at(field: str, path: Sequence[str | int] | Path) -> str:
    for segment in path:
        field += f"[{segment}]" if isinstance(segment, int) else f".{segment}"
    return field


def _shortened(text: str, limit: int = 240) -> str:
    first_line = text.splitlines()[0] if text else "is not a schema"
    if len(first_line) <= limit:
        return first_line
    return f"{first_line[: limit // 2]}...{first_line[-limit // 2 + 3 :]}"
