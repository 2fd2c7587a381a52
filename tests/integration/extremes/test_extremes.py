"""Extreme values in every field of every request: the caller hears what is wrong, and never to try again."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.integration.extremes.calling import METHODS, Caller, ended_execution, session_base
from tests.integration.extremes.extremes import variants

DEFINITION = {
    "description": "d",
    "owner": "o",
    "labels": {"team": "a"},
    "input_schema": {"type": "object", "maxProperties": 9},
    "output": "${tasks.a.output}",
    "execution_timeout": "3600s",
    "defaults": {
        "queue": "default",
        "retry_policy": {"initial_interval": "1s", "maximum_interval": "60s", "backoff_coefficient": 2},
        "timeouts": {"schedule_to_start": "60s", "start_to_close": "60s", "heartbeat": "30s"},
    },
    "tasks": [
        {
            "id": "a",
            "type": "noop",
            "when": "${1 < 2}",
            "input": {"x": 1},
            "queue": "default",
            "retry_policy": {
                "initial_interval": "1s",
                "maximum_interval": "60s",
                "backoff_coefficient": 2,
                "maximum_attempts": 3,
                "jitter": 0.1,
                "non_retryable_error_types": ["Boom"],
                "maximum_lost_attempts": 2,
            },
            "timeouts": {"schedule_to_start": "60s", "start_to_close": "60s", "heartbeat": "30s"},
            "for_each": {"items": [1, 2], "max_parallel": 1},
            "output_schema": {"type": "object", "maxProperties": 9},
        }
    ],
}


def _bases(execution_id: str) -> Iterator[tuple[str, Message]]:
    """Valid requests of every method; those that take something away come last."""
    known: dict[str, Any] = {
        "namespace": "default",
        "workflow_id": "flow",
        "execution_id": execution_id,
        "definition": DEFINITION,
        "etag": "*",
        "labels": {"team": "a"},
        "input": {"a": 1},
        "read_consistency": {"level": "LEVEL_STRONG"},
        "queries": [{"namespace": "default", "workflow_id": "flow", "version": 1}],
        "requests": [{"workflow_id": "flow", "input": {"a": 1}}],
        "heartbeats": [],
        "results": [],
        "base_version": 1,
        "target_version": 1,
        "page_size": 1,
        "max_tasks": 1,
    }
    for path, method in sorted(METHODS.items(), key=lambda item: _takes_away(item[1].name)):
        if method.client_streaming:
            for kind in ("hello", "credits", "results", "heartbeats", "draining"):
                yield path, session_base(kind)
            continue
        message = GetMessageClass(method.input_type)()
        given = {field.name: known[field.name] for field in method.input_type.fields if field.name in known}
        ParseDict(given, message)
        for kind, name in (("hello", "worker"), ("results", "results"), ("heartbeats", "heartbeats")):
            if name in method.input_type.fields_by_name:
                of_session = getattr(session_base(kind), kind)
                message.MergeFrom(_wrapped(message, name, of_session))
        yield path, message


def _wrapped(message: Message, name: str, of_session: Any) -> Message:
    wrapped = type(message)()
    if name == "worker":
        wrapped.worker.CopyFrom(of_session)
    else:
        getattr(wrapped, name).extend(getattr(of_session, name))
    return wrapped


def _takes_away(method: str) -> int:
    return re.match("Deactivate|Archive|Delete", method) is not None


@pytest.mark.timeout(900)
async def test_an_extreme_value_in_any_field_is_answered_and_never_to_be_tried_again(caller: Caller) -> None:
    slots = asyncio.Semaphore(16)

    async def call(path: str, request: Message, name: str) -> None:
        async with slots:
            await caller.call(path, request, name)

    for path, base in _bases(await ended_execution(caller)):
        await asyncio.gather(*(call(path, request, name) for name, request in variants(base)))
    assert caller.calls > 3_000
    assert not caller.wrong, "\n".join(caller.wrong)
