"""Tokens that callers cut, mix up or make themselves, odd metadata, and distant deadlines."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog_pb2
from workflowsystem.execution.v1 import execution_service_pb2 as execution_pb2
from workflowsystem.gateway.v1 import watch_service_pb2 as watch_pb2
from workflowsystem.type.v1.read_consistency_pb2 import ReadConsistency

from tests.integration.extremes.calling import CATALOG, EXECUTIONS, METHODS, Caller, ended_execution

STRONG = ReadConsistency(level=ReadConsistency.LEVEL_STRONG)


def _forged(token: str) -> Iterator[str]:
    """Tokens that a caller can make of one that was given out, with a right checksum."""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    filters, *key = json.loads(raw[6:])
    keys: list[Any] = [
        [],
        [None],
        [True],
        [-1],
        [2**63],
        [10**400],
        [1.5],
        ["\x00"],
        ["9" * 5_000],
        ["\ud800"],
        [{"a": 1}],
        [[1]],
        [*key, 1],
        ["0001-01-01T00:00:00+23:59", "flow"],
        ["9999-12-31T23:59:59-23:59", "flow"],
        ["2024-01-01T00:00:00", "flow"],
        [key[0], "\x00"],
        [key[0], None],
    ]
    bodies = [json.dumps([filters, *each]).encode() for each in keys]
    bodies += [
        b"null",
        b"5",
        b"{}",
        b"[]",
        b'"x"',
        b"[" * 1_000,
        b"\xff",
        json.dumps([[filters], 1]).encode(),
    ]
    bodies.append(f'["{filters}",NaN]'.encode())
    for body in bodies:
        checksum = hashlib.blake2b(body, digest_size=6).digest()
        yield base64.urlsafe_b64encode(checksum + body).decode().rstrip("=")


PAGED = [
    path
    for path, method in METHODS.items()
    if "page_token" in method.input_type.fields_by_name
    # A second page would take a second queue, two workers, or executions of 101 versions in flight.
    and not path.endswith(("GetQueueStats", "ListWorkers", "GetWorkflowUsage"))
]


@pytest.mark.parametrize("path", PAGED)
async def test_a_forged_page_token_is_refused_as_such(caller: Caller, path: str) -> None:
    tokens = await _page_tokens(caller)
    request = _page_request(path, await _first_execution(caller))
    given = tokens[path]
    others = [token for other, token in tokens.items() if other != path]
    damaged = [given[:-1], given[1:], f"{given}A", f"{given}=", given.swapcase(), given * 2, f" {given}"]
    for token in (*others, *damaged, *_forged(given)):
        request.page_token = token
        error = await caller.call(path, request, token)
        assert getattr(error, "reason", "accepted") in ("PAGE_TOKEN_INVALID", "FIELD_INVALID"), token
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    request.page_token = tokens[path]

    assert not hasattr(await caller.call(path, request), "reason")
    assert not caller.wrong, "\n".join(caller.wrong)


async def _first_execution(caller: Caller) -> str:
    request = execution_pb2.ListExecutionsRequest(read_consistency=STRONG)
    listed = await caller.call(f"{EXECUTIONS}ListExecutions", request)
    return str(listed.executions[-1].execution_id)


def _page_request(path: str, execution_id: str) -> Any:
    fields = METHODS[path].input_type.fields_by_name
    known = {"workflow_id": "flow", "execution_id": execution_id}
    given = {name: value for name, value in known.items() if name in fields and "ListWorkflows" not in path}
    base = {**given, "page_size": 1, "read_consistency": {"level": "LEVEL_STRONG"}}
    return ParseDict(base, GetMessageClass(METHODS[path].input_type)())


async def _page_tokens(caller: Caller) -> dict[str, str]:
    """A token of each list, which has two pages at least."""
    definition = ParseDict(
        {"tasks": [{"id": "b", "type": "noop"}, {"id": "c", "type": "noop"}]},
        catalog_pb2.CreateWorkflowRequest().definition,
    )
    update = catalog_pb2.UpdateWorkflowRequest(workflow_id="flow", definition=definition, etag="*")
    await caller.call(f"{CATALOG}UpdateWorkflow", update)
    await caller.call(f"{CATALOG}PublishWorkflow", catalog_pb2.PublishWorkflowRequest(workflow_id="flow"))
    for _ in range(2):
        await ended_execution(caller)
    other = catalog_pb2.CreateWorkflowRequest(workflow_id="other", definition=definition)
    await caller.call(f"{CATALOG}CreateWorkflow", other)
    execution_id = await _first_execution(caller)
    tokens = {}
    for path in PAGED:
        page = await caller.call(path, _page_request(path, execution_id))
        assert page.next_page_token, path
        tokens[path] = page.next_page_token
    return tokens


async def test_a_forged_resume_token_is_refused_as_such(caller: Caller) -> None:
    path = "/workflowsystem.gateway.v1.WatchService/WatchExecution"
    execution_id = await ended_execution(caller)
    seen = await caller.call(path, watch_pb2.WatchExecutionRequest(execution_id=execution_id))
    token = seen[0].resume_token
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    forged = [raw[:-1], raw + b"x", b"\x02" + raw[1:], raw[:17] + b"\xff" * 8 + raw[25:], raw[:17]]
    bodies = [b"\x01" + raw[1:17] + sequence.to_bytes(8, "big") for sequence in (2**63, 2**64 - 1)]
    forged += [body + zlib.crc32(body).to_bytes(4, "big") for body in bodies]
    texts = [base64.urlsafe_b64encode(each).decode().rstrip("=") for each in forged]

    for text in (*texts, token[:-1], token + "=", token.lower(), "\U0001f600"):
        request = watch_pb2.WatchExecutionRequest(execution_id=execution_id, resume_token=text)
        error = await caller.call(path, request, text)
        assert error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE), text

    assert not caller.wrong, "\n".join(caller.wrong)


METADATA: list[list[tuple[str, str | bytes]]] = [
    [("x-request-id", "")],
    [("x-request-id", "x" * 6_000)],
    [("x-request-id", "a"), ("x-request-id", "b")],
    [("traceparent", "garbage")],
    [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")],
    [("tracestate", "," * 500)],
    [("x-namespace", "No Such; DROP TABLE")],
    [("x-actor", "x" * 5_000)],
    [("x-actor", "%00%ff%f0%9f%98%80")],
    [("x-anything-bin", bytes(range(256)))],
    [(f"x-{number}", "v") for number in range(100)],
    [("authorization", "Bearer " + "x" * 3_000)],
]


@pytest.mark.parametrize("metadata", METADATA, ids=lambda metadata: f"{metadata[0][0]} {len(metadata)}")
async def test_odd_metadata_changes_no_answer(caller: Caller, metadata: Any) -> None:
    execution_id = await ended_execution(caller)
    for request in (
        execution_pb2.PauseExecutionRequest(execution_id=execution_id),
        execution_pb2.GetExecutionRequest(execution_id=execution_id, read_consistency=STRONG),
        execution_pb2.StartExecutionRequest(workflow_id="flow"),
    ):
        path = EXECUTIONS + request.DESCRIPTOR.name.removesuffix("Request")
        usual = await caller.call(path, request)
        odd = await caller.call(path, request, metadata=metadata)
        assert type(odd) is type(usual)
        assert getattr(odd, "reason", "") == getattr(usual, "reason", "")
    start = execution_pb2.StartExecutionRequest(workflow_id="flow")
    started = await caller.call(f"{EXECUTIONS}StartExecution", start)

    pause = execution_pb2.PauseExecutionRequest(execution_id=started.execution_id, reason="r")

    assert hasattr(await caller.call(f"{EXECUTIONS}PauseExecution", pause, metadata=metadata), "execution_id")
    assert not caller.wrong, "\n".join(caller.wrong)


@pytest.mark.parametrize("seconds", [1e6, 3e8])
async def test_a_distant_deadline_is_taken(caller: Caller, seconds: float) -> None:
    execution_id = await ended_execution(caller)
    request = execution_pb2.GetExecutionRequest(execution_id=execution_id, read_consistency=STRONG)
    answer = await caller.call(f"{EXECUTIONS}GetExecution", request, timeout=seconds)

    assert getattr(answer, "execution_id", answer) == execution_id
