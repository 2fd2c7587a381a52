"""Write JSON for scripts: the contracts' messages, with the field names of the protos and all fields."""

from __future__ import annotations

import codecs
import sys
from typing import Any

from workflow_contract.messages import as_json
from workflow_contract.payloads import with_integers

from workflowctl.safe_text import json_text


def as_data(message: Any) -> Any:
    """Return the JSON form of a message as plain data. A whole number has no `.0`."""
    return with_integers(as_json(message, all_fields=True))


def write_document(data: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json_text(data, ascii_only=_must_escape(), indent=2) + "\n")


def write_line(data: Any) -> None:
    """Write one JSON document on one line, and flush it for a reader that follows the output."""
    sys.stdout.write(json_text(data, ascii_only=_must_escape(), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _must_escape() -> bool:
    """Return whether the encoding of standard output lacks characters."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
