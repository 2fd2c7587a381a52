"""docs/definition.schema.json: what editors know of a workflow's file."""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from workflowctl import durations
from workflowctl.canonical_yaml import dump
from workflowctl.definition_file import load
from workflowctl.errors import CommandError

from tests.e2e.language_page import PAGE, examples
from tests.unit.workflowctl.definitions import message, record, structs, texts, values

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "definition.schema.json"
GENERATOR = ROOT / "libs" / "workflow-protos" / "definition_schema.py"
SCHEMA = json.loads(COMMITTED.read_text())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
DURATION = re.compile(SCHEMA["properties"]["execution_timeout"]["pattern"])


def test_the_committed_schema_is_what_the_contract_gives() -> None:
    spec = spec_from_file_location("definition_schema", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.render() == COMMITTED.read_text(), f"run `python {GENERATOR.relative_to(ROOT)}`"


def test_it_is_a_schema_of_its_draft_and_describes_every_field() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    for schema in (SCHEMA, *SCHEMA["$defs"].values()):
        assert schema["description"]
        assert all(field["description"] for field in schema["properties"].values())


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/**/*.yaml")), ids=lambda path: path.parent.name)
def test_the_examples_satisfy_it(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_workflows_of_the_language_page_satisfy_it() -> None:
    for block in examples(PAGE.read_text()):
        assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(block.yaml))] == [], (
            block.line
        )


ids = st.from_regex(r"\A[a-z][a-z0-9_]{0,62}\Z")
workflow_ids = st.from_regex(r"\A[a-z][a-z0-9-]{2,62}\Z")
queues = st.from_regex(r"\A[a-z][a-z0-9-]{0,62}\Z")
short = texts.filter(lambda text: 1 <= len(text) <= 63)
spans = st.one_of(
    st.integers(1, 86_400).map(lambda n: f"{n}s"), st.integers(1, 10**6).map(lambda n: f"{n / 1000}s")
)
retry_policies = record(
    initial_interval=spans,
    backoff_coefficient=st.floats(1, 100),
    maximum_interval=spans,
    maximum_attempts=st.integers(1, 1_000),
    jitter=st.floats(0, 1),
    non_retryable_error_types=st.lists(short, max_size=3),
    maximum_lost_attempts=st.integers(0, 1_000),
)
timeouts = record(schedule_to_start=spans, start_to_close=spans, heartbeat=spans)
tasks = st.fixed_dictionaries(
    {"id": ids, "type": st.from_regex(r"\A[a-z][a-z0-9_-]{0,40}([.][a-z][a-z0-9_-]{0,40})?\Z")},
    optional={
        "needs": st.lists(ids, max_size=5, unique=True),
        "when": texts,
        "input": values,
        "queue": queues,
        "retry_policy": retry_policies,
        "timeouts": timeouts,
        "for_each": st.fixed_dictionaries(
            {"items": values}, optional={"max_parallel": st.integers(0, 10_000)}
        ),
        "output_schema": structs,
        "workflow": st.fixed_dictionaries(
            {"workflow_id": workflow_ids}, optional={"version": st.integers(0, 9)}
        ),
    },
)
valid = record(
    description=texts,
    labels=st.dictionaries(short, short, max_size=3),
    owner=texts,
    input_schema=structs,
    output=values,
    execution_timeout=spans.filter(lambda span: float(span[:-1]) >= 1),
    defaults=record(retry_policy=retry_policies, timeouts=timeouts, queue=queues),
    tasks=st.lists(tasks, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(valid, workflow_ids)
def test_what_is_written_canonically_satisfies_it(fields: dict[str, Any], workflow_id: str) -> None:
    VALIDATOR.validate(yaml.safe_load(dump(workflow_id, message(fields))))


@given(st.one_of(st.text("0123456789.dhmsu ", max_size=12), st.text(max_size=8)))
@example("1h30m")
@example("1.5s")
@example("1m1h")
@example("500ms")
@example("1m1ms1us")
def test_a_duration_is_what_the_loader_takes(text: str) -> None:
    try:
        durations.seconds(text)
        taken = text == text.strip()
    except ValueError:
        taken = False
    assert (len(text) > 1 and DURATION.fullmatch(text) is not None) == taken


def test_camel_case_is_no_error_but_is_not_offered() -> None:
    file = {
        "workflowId": "orders",
        "executionTimeout": "1h",
        "tasks": [
            {"id": "a", "type": "noop", "retryPolicy": {"maximumAttempts": 2}, "forEach": {"items": []}}
        ],
    }
    VALIDATOR.validate(file)
    file["executionTimeout"] = "soon"
    assert not VALIDATOR.is_valid(file)

    offered = {name for schema in (SCHEMA, *SCHEMA["$defs"].values()) for name in schema["properties"]}

    assert {name for name in offered if name != name.lower()} == set()


GOOD = "workflow_id: orders\ntasks:\n  - id: a\n    type: noop\n"
REFUSED_BY_THE_LOADER_TOO = (
    "steps: []",
    "    retry: {}",
    "    needs: b",
    "    needs: [1]",
    "    retry_policy: {maximum_attempts: many}",
    "    retry_policy: {maximum_attempts: 1.5}",
    "    timeouts: {heartbeat: 5}",
    "    timeouts: {heartbeat: soon}",
    "    timeouts: {start_to_close: 1m1h}",
    "    for_each: [1]",
    "    input_schema: {}",
    "labels: {a: [b]}",
    "owner: 3",
    "execution_timeout: -1s",
    "input_schema: []",
)
REFUSED_BY_THE_CATALOG = (
    "description: " + "x" * 4_097,
    "labels: {'': a}",
    f"labels: {{a: {'x' * 64}}}",
    "    needs: [b, b]",
    "    retry_policy: {maximum_attempts: 0}",
    "    retry_policy: {jitter: 1.5}",
    "    retry_policy: {backoff_coefficient: 0.5}",
    "    retry_policy: {non_retryable_error_types: ['']}",
    "    for_each: {max_parallel: 1}",
    "    for_each: {items: [], max_parallel: -1}",
    "    workflow: {}",
    "    workflow: {workflow_id: A}",
    "    queue: Fast",
    "  - id: Not-An-Id\n    type: noop",
    "  - id: b\n    type: not a type",
    "  - id: b",
    "  - type: noop",
)


def test_a_good_file_satisfies_it() -> None:
    VALIDATOR.validate(yaml.safe_load(GOOD))


@pytest.mark.parametrize("lines", [*REFUSED_BY_THE_LOADER_TOO, *REFUSED_BY_THE_CATALOG])
def test_a_broken_file_does_not(lines: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(f"{GOOD}{lines}\n"))


@pytest.mark.parametrize("lines", REFUSED_BY_THE_LOADER_TOO)
def test_what_the_loader_refuses_it_refuses(lines: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{GOOD}{lines}\n")

    with pytest.raises(CommandError):
        load(str(path))


def test_a_file_without_the_workflows_id_does_not() -> None:
    assert not VALIDATOR.is_valid({"tasks": []})
