"""JSON for scripts: the contracts' messages, field names as in the protos, fields without a value too."""

from __future__ import annotations

import codecs
import sys
from typing import Any

from google.protobuf import json_format

from workflowctl.safe_text import json_text


def as_data(message: Any) -> Any:
    """The JSON form of a message as plain data."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


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
