"""JSON values that may hold expressions, as the definition language writes them: `${...}` in texts."""

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
    """The value with its expressions as `${...}`, and its own `${` as `$${`.

    Raises WorkflowDefinitionError, with the place within `what`, for what JSON does not have.
    """
    try:
        return to_value(_to_template(value, what), what)
    except PayloadError as error:
        raise WorkflowDefinitionError(str(error)) from None
    except RecursionError:
        raise WorkflowDefinitionError(f"{what} is nested too deeply: make it flatter") from None


def schema(value: Any, what: str) -> struct_pb2.Struct:
    """Return a JSON Schema as it is.

    Raise WorkflowDefinitionError if the value is not a schema, or has expressions in it.
    """
    if not isinstance(value, Mapping):
        raise WorkflowDefinitionError(f"{what} is {value!r}: give a JSON Schema, as a dict")
    try:
        return to_struct(plain(value, what), what)
    except PayloadError as error:
        raise WorkflowDefinitionError(str(error)) from None


def plain(value: Any, what: str) -> Any:
    """The value, in which no expression may stand. Raises WorkflowDefinitionError where one does."""
    for expression in expressions_in(value):
        raise WorkflowDefinitionError(
            f"{what} is fixed when the workflow is written: {expression!r} can't be in it"
        )
    return value


def expressions_in(value: Any) -> Iterator[Expression]:
    """Every expression in a value, those within texts too."""
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
    """`${...}`."""
    return f"${{{expression._text}}}"


def _text(text: str) -> str:
    """A text with what was formatted into it. A `$` right before `${` would escape it; it becomes CEL."""
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
