"""The value of `--input`: JSON, or `@file` with JSON or YAML, or `-` for JSON on standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workflowctl.errors import CommandError
from workflowctl.source import MAX_BYTES, read

INLINE_NAME = "--input.json"


def load(text: str) -> dict[str, Any]:
    """The input as an object. Raises CommandError."""
    if not text:
        return {}
    name, data = _read(text)
    value = read(name, data).value
    if not isinstance(value, dict):
        raise CommandError(
            f"the input is no object but {type(value).__name__}",
            next_step='give --input \'{"name": "value"}\', or --input @file.json',
        )
    return value


def _read(text: str) -> tuple[str, bytes]:
    if text == "-":
        return "standard input.json", sys.stdin.buffer.read(MAX_BYTES + 1)
    if not text.startswith("@"):
        return INLINE_NAME, text.encode("utf-8", "surrogateescape")
    try:
        with Path(text[1:]).open("rb") as file:
            return text[1:], file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{text[1:]} cannot be read: {error.strerror}") from None
