"""JSON for scripts: the contracts' messages, field names as in the protos, fields without a value too."""

from __future__ import annotations

import codecs
import sys
from typing import Any

from google.protobuf import json_format
from workflow_contract.payloads.numbers import MAX_WHOLE

from workflowctl.safe_text import json_text


def as_data(message: Any) -> Any:
    """Return the JSON form of a message as plain data; a whole number has no `.0`."""
    return _whole(
        json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    )


def _whole(value: Any) -> Any:
    """Replace each number that is whole by an integer, if it is exact: protobuf keeps all as doubles."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_WHOLE:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def write_document(data: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json_text(data, ascii_only=_must_escape(), indent=2) + "\n")


def write_line(data: Any) -> None:
    """One JSON document on a line of its own, flushed: for what reads along."""
    sys.stdout.write(json_text(data, ascii_only=_must_escape(), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _must_escape() -> bool:
    """Whether standard output has an encoding that lacks characters."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
