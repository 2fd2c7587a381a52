"""Definitions between protobuf and JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from workflow_catalog.domain.definition import Definition
from workflow_catalog.domain.errors import DefinitionUnstorableError
from workflow_catalog.entrypoints.definition_codec import DefinitionMessages, to_json
from workflow_contract.payloads import may_be_rounded
from workflowsystem.catalog.v1 import definition_pb2

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
numbers = (
    st.floats(allow_nan=False, allow_infinity=False)
    .map(lambda number: number * 1e10 if may_be_rounded(number) else number)
    .map(lambda number: number + 0.0)  # no -0.0
)
payloads = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def message(output: Any) -> definition_pb2.WorkflowDefinition:
    return json_format.ParseDict({"output": output}, definition_pb2.WorkflowDefinition())


@given(payloads)
def test_a_message_survives_the_way_through_the_store(payload: Any) -> None:
    definition = Definition.from_json(to_json(message(payload)))
    assert asyncio.run(DefinitionMessages().get(definition)) == message(payload)


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        (5.0, "5"),
        (-3.0, "-3"),
        (2.0**53, "9007199254740992"),
        (-1e21, "-1e+21"),
        (0.5, "0.5"),
    ],
)
def test_whole_numbers_are_stored_as_such_while_a_double_holds_them_exactly(
    number: float, stored: str
) -> None:
    assert json.dumps(to_json(message(number))["output"]) == stored


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    definition = definition_pb2.WorkflowDefinition()
    definition.output.number_value = number

    with pytest.raises(DefinitionUnstorableError):
        to_json(definition)


def test_names_are_snake_case() -> None:
    definition = json_format.ParseDict({"executionTimeout": "60s"}, definition_pb2.WorkflowDefinition())
    assert to_json(definition) == {"execution_timeout": "60s"}
