"""Writes JSON values that may hold expressions in the definition language: `${...}` in texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

from workflow_sdk.authoring import cel_text
from workflow_sdk.authoring.errors import WorkflowDefinitionError
from workflow_sdk.authoring.expressions import Expression, holds_expression, split
from workflow_sdk.authoring.tasks import Task
from workflow_sdk.payloads import PayloadError
from workflow_sdk.values import to_struct, to_value


def template(value: Any, what: str) -> struct_pb2.Value:
    """Return the value with expressions as `${...}`, and with any other `${` as `$${`.

    Raises WorkflowDefinitionError, with the place within `what`, for a value that JSON does not have.
    """
    try:
        return to_value(_to_template(value, what), what)
    except PayloadError as error:
        raise WorkflowDefinitionError(str(error)) from None
    except RecursionError:
        raise WorkflowDefinitionError(f"{what} is nested too deeply: make it flatter") from None


def schema(value: Any, what: str) -> struct_pb2.Struct:
    """Return a JSON Schema. Raises WorkflowDefinitionError if it is not one, or if it has an expression."""
    if not isinstance(value, Mapping):
        raise WorkflowDefinitionError(f"{what} is {value!r}: give a JSON Schema, as a dict")
    try:
        return to_struct(plain(value, what), what)
    except PayloadError as error:
        raise WorkflowDefinitionError(str(error)) from None


def plain(value: Any, what: str) -> Any:
    """Return the value. Raises WorkflowDefinitionError if it holds an expression."""
    for expression in expressions_in(value):
        raise WorkflowDefinitionError(
            f"{what} is fixed when the workflow is written: {expression!r} can't be in it"
        )
    return value


def expressions_in(value: Any) -> Iterator[Expression]:
    """Yield every expression in a value, including expressions within texts."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case Expression() as expression:
                yield expression
            case str() as text:
                waiting.extend(part for part in split(text) if isinstance(part, Expression))
            case Mapping() as fields:
                waiting.extend(fields)
                waiting.extend(fields.values())
            case list() | tuple() as items:
                waiting.extend(items)


def _to_template(value: Any, path: str) -> Any:
    match value:
        case Expression():
            return code(value)
        case str():
            return _text(value)
        case Mapping():
            for key in value:
                if isinstance(key, str) and holds_expression(key):
                    raise WorkflowDefinitionError(
                        f"{path} has an expression in a key: keys are taken as they are"
                    )
            return {key: _to_template(each, f"{path}.{key}") for key, each in value.items()}
        case list() | tuple():
            return [_to_template(each, f"{path}[{place}]") for place, each in enumerate(value)]
        case Task():
            raise WorkflowDefinitionError(f"{path} is {value!r}: give its `.output`, or its `.status`")
    return value


def code(expression: Expression) -> str:
    """Return the expression as `${...}`."""
    return f"${{{expression._text}}}"


def _text(text: str) -> str:
    """Return a text with its expressions. A `$` just before `${` would escape it, so it becomes CEL."""
    written = ""
    for part in split(text):
        if isinstance(part, Expression):
            dollars = len(written) - len(written.rstrip("$"))
            if dollars:
                written = f"{written[:-dollars]}${{{cel_text.quote('$' * dollars)}}}"
            written += code(part)
        else:
            written += part.replace("${", "$${")
    return written
