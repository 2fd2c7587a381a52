"""Encodes the value that a handler returned, in the worker and in child processes."""

from __future__ import annotations

from typing import Any

from workflow_sdk.failures import OUTPUT_NOT_JSON, PAYLOAD_TOO_LARGE, FailureInfo
from workflow_sdk.payloads import PayloadError, to_json


def encode_output(value: Any, maximum_bytes: int) -> bytes | FailureInfo:
    """Return the output as JSON bytes, or a non-retryable failure if it can't be stored."""
    try:
        output = to_json(value)
    except PayloadError as error:
        return FailureInfo(OUTPUT_NOT_JSON, str(error), non_retryable=True)
    if len(output) <= maximum_bytes:
        return output
    message = (
        f"the output has {len(output)} bytes as JSON, {maximum_bytes} are allowed: store it elsewhere and"
        " return a reference"
    )
    return FailureInfo(PAYLOAD_TOO_LARGE, message, non_retryable=True)
