"""What the contracts say about tokens is what the services make and take."""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import workflowsystem
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from service_kit.data import consistency
from service_kit.rpc import paging
from workflow_gateway.watch import tokens

LARGEST_NUMBER = 2**63 - 1
LONGEST_ID = "z" * 63
UUID_CHARS = "f" * 36
TIME = "9999-12-31T23:59:59.999999+00:00"


def messages() -> Iterator[Descriptor]:
    """Every message of the contracts, with the nested ones."""
    (root,) = workflowsystem.__path__
    for path in sorted(Path(root).rglob("*_pb2.py")):
        name = ".".join(("workflowsystem", *path.relative_to(root).with_suffix("").parts))
        file = importlib.import_module(name).DESCRIPTOR
        yield from _with_nested(file.message_types_by_name.values())


def _with_nested(found: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for message in found:
        yield message
        yield from _with_nested(message.nested_types)


def fields(name: str) -> list[FieldDescriptor]:
    return [message.fields_by_name[name] for message in messages() if name in message.fields_by_name]


def max_length(field: FieldDescriptor) -> int:
    return int(field.GetOptions().Extensions[validate_pb2.field].string.max_len)


def test_every_list_takes_page_tokens_of_the_length_that_paging_makes() -> None:
    found = fields("page_token")

    assert len(found) >= 5
    assert {field.full_name: max_length(field) for field in found} == {
        field.full_name: paging.MAX_TOKEN_CHARS for field in found
    }


PAGES_OF_A_FIXED_SIZE = {"workflowsystem.execution.v1.GetWorkflowUsageRequest"}
"""Requests whose answer is one resource that continues on further pages: a comment states their size."""


def test_a_request_with_a_page_token_has_a_page_size_and_an_answer_with_the_next_token() -> None:
    answers = {
        method.input_type.full_name: method.output_type
        for file in {message.file for message in messages()}
        for service in file.services_by_name.values()
        for method in service.methods
    }
    for field in fields("page_token"):
        request = field.containing_type
        if request.full_name not in PAGES_OF_A_FIXED_SIZE:
            assert "page_size" in request.fields_by_name, request.full_name
        answer = answers[request.full_name]
        assert "next_page_token" in answer.fields_by_name, answer.full_name


@pytest.mark.parametrize("other", [LARGEST_NUMBER, UUID_CHARS, TIME, LONGEST_ID])
def test_the_token_of_the_longest_keys_fits(other: str | int) -> None:
    """A list is sorted by an id, a time or a number, and by two more values at most."""
    bound = paging.filter_hash("x" * 10_000)
    token = paging.encode([LONGEST_ID, other, other], filter_hash=bound)

    assert len(token) <= paging.MAX_TOKEN_CHARS
    assert paging.decode(token, filter_hash=bound) == [LONGEST_ID, other, other]


def test_a_page_token_that_nobody_could_send_back_is_not_made() -> None:
    bound = paging.filter_hash()
    paging.encode(["a" * 700], filter_hash=bound)

    with pytest.raises(ValueError, match="keep the sort key short"):
        paging.encode(["a" * 800], filter_hash=bound)


def test_resume_tokens_and_consistency_tokens_fit_into_their_fields() -> None:
    longest = consistency.encode(consistency.LogPosition(2**64 - 1, 2**32 - 1, 2**64 - 1))
    asked = fields("consistency_token")
    (limit,) = {max_length(field) for field in asked if field.containing_type.name == "ReadConsistency"}
    assert len(longest) <= limit == 256
    (limit,) = {max_length(field) for field in fields("resume_token") if "Request" in field.full_name}
    resume = tokens.encode(tokens.ResumeToken(UUID(int=2**128 - 1), tokens.MAX_SEQUENCE))

    assert len(resume) <= limit == 256
