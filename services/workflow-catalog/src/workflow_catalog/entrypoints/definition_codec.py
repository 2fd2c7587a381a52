"""Convert definitions between protobuf and JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf import field_mask_pb2, json_format
from service_kit.errors import FIELD_INVALID, FieldViolation, invalid_argument
from service_kit.tools.bounded_cache import BoundedCache
from service_kit.tools.payload_text import find_bad_text
from workflow_contract.payloads import as_whole, is_exact
from workflowsystem.catalog.v1 import definition_pb2

from workflow_catalog.domain.definition import Definition, Json
from workflow_catalog.domain.errors import DefinitionUnstorableError
from workflow_catalog.domain.limits import MAX_CACHED_DEFINITIONS, MAX_CACHED_MESSAGE_BYTES
from workflow_catalog.domain.problem import Problem

_OURS = "workflowsystem.catalog.v1."


def to_json(message: definition_pb2.WorkflowDefinition) -> dict[str, Json]:
    """Return the definition as JSON with snake_case names.

    Whole numbers that a double holds exactly become int. Raise DefinitionUnstorableError for a number that
    JSON does not have or that may have lost digits, and for a duration that JSON cannot represent.
    """
    if (violation := find_bad_text(message)) is not None:
        raise DefinitionUnstorableError(Problem(violation.field, violation.description))
    try:
        value = json_format.MessageToDict(message, preserving_proto_field_name=True)
    except (ValueError, json_format.Error) as error:
        problem = f"cannot be written as JSON: {error}"
        raise DefinitionUnstorableError(Problem("definition", problem)) from None
    normal: dict[str, Json] = _normalised(value)
    return normal


def _normalised(value: Json) -> Any:
    match value:
        case dict():
            return {key: _normalised(each) for key, each in value.items()}
        case list():
            return [_normalised(each) for each in value]
        case bool():
            return value
        case float():
            return as_whole(value)
        case int() if not is_exact(value):
            return float(value)
        case _:
            return value


class DefinitionMessages:
    """A cache of definitions as messages. Building one takes a millisecond for every 20 tasks."""

    def __init__(self) -> None:
        self._messages: BoundedCache[str, definition_pb2.WorkflowDefinition] = BoundedCache(
            max_entries=MAX_CACHED_DEFINITIONS, max_bytes=MAX_CACHED_MESSAGE_BYTES
        )

    async def get(self, definition: Definition) -> definition_pb2.WorkflowDefinition:
        """Return the message, built in a thread. It is shared, so copy it before you change it."""
        message = self._messages.get(definition.content_hash)
        if message is None:
            message = await asyncio.to_thread(_to_message, definition)
            self._messages.put(definition.content_hash, message, 2 * len(definition.text))
        return message


def _to_message(definition: Definition) -> definition_pb2.WorkflowDefinition:
    return json_format.ParseDict(
        definition.value, definition_pb2.WorkflowDefinition(), ignore_unknown_fields=True
    )


def mask_paths(mask: field_mask_pb2.FieldMask) -> list[str]:
    """Return the fields of the definition that a mask names, or an empty list for the whole definition.

    Raise INVALID_ARGUMENT if a path is not a field, or leads into a list, a map or free JSON.
    """
    if not mask.paths or "*" in mask.paths:
        return []
    for index, path in enumerate(mask.paths):
        if not _is_field(definition_pb2.WorkflowDefinition.DESCRIPTOR, path.split(".")):
            fields = ", ".join(field.name for field in definition_pb2.WorkflowDefinition.DESCRIPTOR.fields)
            description = f"`{path}` is no field of the definition: {fields}, or a field within defaults"
            violation = FieldViolation(f"update_mask.paths[{index}]", description, FIELD_INVALID)
            raise invalid_argument(FIELD_INVALID, f"update_mask: {description}", violation)
    return list(mask.paths)


def _is_field(descriptor: Any, names: list[str]) -> bool:
    if descriptor is None or not descriptor.full_name.startswith(_OURS):
        return False
    field = descriptor.fields_by_name.get(names[0])
    if field is None:
        return False
    return len(names) == 1 or (not field.is_repeated and _is_field(field.message_type, names[1:]))
