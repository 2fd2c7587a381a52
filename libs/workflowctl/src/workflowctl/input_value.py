"""Read the value of `--input`: JSON, `@file` with JSON or YAML, or `-` for JSON on standard input."""

from __future__ import annotations

from typing import Any

from workflowctl.errors import CommandError
from workflowctl.files import STDIN, read_bytes
from workflowctl.source import kind_of, read

INLINE_NAME = "--input.json"


def load(text: str) -> dict[str, Any]:
    """Return the input as an object. Raise CommandError if it is not one."""
    if not text:
        return {}
    name, data = _read(text)
    value = read(name, data).value
    if not isinstance(value, dict):
        raise CommandError(
            f"the input must be a JSON object, but is {kind_of(value)}",
            next_step='give --input \'{"name": "value"}\', or --input @file.json',
        )
    return value


def _read(text: str) -> tuple[str, bytes]:
    if text == STDIN:
        return "standard input.json", read_bytes(STDIN)
    if not text.startswith("@"):
        return INLINE_NAME, text.encode("utf-8", "surrogateescape")
    return text[1:], read_bytes(text[1:])
