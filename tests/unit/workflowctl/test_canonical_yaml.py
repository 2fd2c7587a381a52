"""The canonical YAML of a definition."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from hypothesis import example, given, settings
from workflowctl.canonical_yaml import dump
from workflowctl.definition_file import load
from workflowctl.source import read
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

from tests.unit.workflowctl.definitions import NASTY_TEXTS, NUMBERS, definitions, message, values

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canonical")


def reread(folder: Path, text: str, name: str = "a.yaml") -> WorkflowDefinition:
    path = folder / name
    path.write_bytes(text.encode())
    return load(str(path)).definition


def bits(definition: WorkflowDefinition) -> str:
    """All of it, where -0.0 is not 0.0."""
    return json_format.MessageToJson(definition, sort_keys=True)


@settings(max_examples=300, deadline=None)
@given(definitions)
def test_what_is_written_reads_back_as_the_same_definition(folder: Path, fields: dict[str, Any]) -> None:
    definition = message(fields)
    text = dump("orders", definition)
    again = reread(folder, text)

    assert again == definition
    assert bits(again) == bits(definition)
    assert dump("orders", again) == text


def test_a_nasty_text_survives_wherever_it_stands(folder: Path) -> None:
    for text in NASTY_TEXTS:
        task = {"id": "a", "when": text, "needs": [text, "b"], "for_each": {"items": text}}
        fields = {"description": text, "labels": {text: text}, "owner": text, "output": {text: [text]}}
        definition = message({**fields, "tasks": [task, task]})
        assert reread(folder, dump("orders", definition)) == definition


@settings(max_examples=100, deadline=None)
@given(definitions)
def test_a_json_file_gives_the_same_text(folder: Path, fields: dict[str, Any]) -> None:
    as_json = json_format.MessageToJson(message(fields))
    again = reread(folder, json.dumps({"workflowId": "orders", **json.loads(as_json)}), "a.json")

    assert dump("orders", again) == dump("orders", message(fields))


@settings(max_examples=300, deadline=None)
@given(values)
@example(list(NASTY_TEXTS))
@example({text: text for text in NASTY_TEXTS})
@example(list(NUMBERS))
@example({"a" * 3_000: {"\U0010ffff" * 100: "b"}})
def test_a_reader_of_yaml_1_1_sees_the_same_payload(value: Any) -> None:
    text = dump("orders", message({"output": value}))
    assert yaml.safe_load(text)["output"] == read("a.yaml", text.encode()).value["output"] == value


@given(definitions)
@settings(max_examples=50, deadline=None)
def test_equal_definitions_have_equal_texts_however_they_were_built(fields: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert dump("orders", message(turned(fields))) == dump("orders", message(fields))


def test_a_long_line_stays_one_line() -> None:
    words = " ".join(["word"] * 500)
    shown = dump("orders", message({"description": words, "output": {"a": [f"{words}: {words}"]}}))

    assert f"description: {words}\n" in shown
    assert f"    - |-\n      {words}: {words}\n" in shown


WRITTEN = """\
workflow_id: orders

description: |
  Charges and ships.

  Nothing else.

labels:
  "n": "y"
  "on": "yes"
  team: shop

owner: The shop’s people

input_schema:
  type: object
  properties:
    amount:
      type: number
      minimum: 0.5
    kind:
      const:
        description: kept in the alphabet's order
        type: number
    type:
      enum: [card, cash]
  required: [amount]

output:
  receipt: ${tasks.charge.output}
  text: "Charged: ${input.amount}"

execution_timeout: 1h30m

defaults:
  retry_policy:
    initial_interval: 500ms
    backoff_coefficient: 2
    jitter: 0.25
    non_retryable_error_types: [CardRefused]
  timeouts:
    start_to_close: 1m30.5s

tasks:
  - id: charge
    type: orders.charge
    input:
      at: "12:30"
      blank: "\\n\\n'a'"
      empty: {}
      how: '${input.type == "card" ? 1 : 2}'
      none: []
      nothing: null
      texts:
        - ${input.amount}
        - a, b

  - id: ship
    type: orders.ship
    needs: [charge]
    when: |-
      ${tasks.charge.status == "SUCCEEDED" && input.amount < 100 ? 'a' : "b"} and more of it: much
    for_each:
      items: [1, 2.5, true, null]
      max_parallel: 2
"""


def test_it_is_written_as_an_author_would(folder: Path) -> None:
    assert dump("orders", reread(folder, WRITTEN)) == WRITTEN


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/*/workflow.yaml")), ids=lambda path: path.parent.name
)
def test_the_examples_stay_what_they_are(folder: Path, path: Path) -> None:
    file = load(str(path))
    assert reread(folder, dump(file.workflow_id, file.definition)) == file.definition


def test_a_definition_that_no_file_can_express_is_refused() -> None:
    infinite = WorkflowDefinition()
    infinite.output.number_value = float("inf")
    below = WorkflowDefinition()
    below.execution_timeout.seconds = -1
    for definition in (infinite, below):
        with pytest.raises(ValueError):
            dump("orders", definition)
