"""Every file of `golden` builds in Python what a YAML file says: the one beside it, or one of `examples`."""

import importlib.util
from pathlib import Path

import pytest
from google.protobuf import json_format
from workflow_expressions import Scope, compile_condition, compile_template
from workflow_sdk import Workflow
from workflow_sdk.values import from_value
from workflowctl import definition_file
from workflowsystem.catalog.v1.definition_pb2 import WorkflowDefinition

ROOT = Path(__file__).parents[4]
GOLDEN = Path(__file__).with_name("golden")
NAMES = sorted(path.stem for path in GOLDEN.glob("*.py"))


def written(name: str) -> Workflow:
    """The workflow of a Python file."""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", GOLDEN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    workflow = module.workflow
    assert isinstance(workflow, Workflow)
    return workflow


def yaml_of(name: str) -> Path:
    """The file that says the same."""
    beside = GOLDEN / f"{name}.yaml"
    return beside if beside.exists() else ROOT / "examples" / name / "workflow.yaml"


def test_every_yaml_file_has_its_python_form() -> None:
    assert len(NAMES) >= 10
    assert {path.stem for path in GOLDEN.glob("*.yaml")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_python_builds_what_yaml_says(name: str) -> None:
    workflow, file = written(name), definition_file.load(str(yaml_of(name)))

    assert workflow.definition == file.definition
    assert workflow.workflow_id == file.workflow_id


@pytest.mark.parametrize("name", NAMES)
def test_its_json_form_reads_back_as_the_same(name: str) -> None:
    workflow = written(name)
    assert json_format.ParseDict(workflow.to_dict(), WorkflowDefinition()) == workflow.definition


@pytest.mark.parametrize("name", NAMES)
def test_every_expression_compiles_where_it_stands(name: str) -> None:
    definition = written(name).definition
    for task in definition.tasks:
        scope = Scope(tasks=frozenset(task.needs), in_fan_out=task.HasField("for_each"))
        compile_template(from_value(task.input), scope=scope)
        compile_template(from_value(task.for_each.items), scope=Scope(tasks=frozenset(task.needs)))
        if task.when:
            compile_condition(task.when, scope=Scope(tasks=frozenset(task.needs)))
    compile_template(from_value(definition.output), scope=Scope(frozenset(t.id for t in definition.tasks)))


def test_its_json_form_has_whole_numbers_and_the_names_of_the_yaml_file() -> None:
    orders = written("orders").to_dict()
    assert orders["tasks"][2]["for_each"] == {
        "items": "${tasks.check.output.parcels}",
        "max_parallel": 5,
    }
    assert orders["execution_timeout"] == "3600s"
    first = written("literals").to_dict()["tasks"][3]["input"][""][0]

    assert isinstance(first, int)
