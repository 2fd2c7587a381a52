"""A suggested command works as it is printed, and a service's methods are shown as commands."""

import ast
import re
import sys
from pathlib import Path

import pytest
from workflow_sdk.errors import PreconditionError
from workflowctl.errors import from_sdk
from workflowctl.next_steps import as_typed, options_of, with_commands
from workflowsystem.catalog.v1 import workflow_catalog_service_pb2 as catalog
from workflowsystem.execution.v1 import execution_service_pb2 as execution

ROOT = Path(__file__).parents[3]
METHODS = [
    method.name
    for file in (catalog, execution)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKFLOW_GATEWAY", raising=False)
    monkeypatch.delenv("WORKFLOW_NAMESPACE", raising=False)
    monkeypatch.setattr(sys, "argv", ["workflowctl"])


def test_a_further_command_has_the_options_of_this_one() -> None:
    options = options_of("127.0.0.1:8010", "shop")

    assert as_typed("next: workflowctl watch 7", options) == (
        "next: workflowctl watch 7 --address 127.0.0.1:8010 --namespace shop"
    )
    assert as_typed("run `workflowctl activate a` first", options).startswith(
        "run `workflowctl activate a --address 127.0.0.1:8010 --namespace shop` first"
    )


def test_defaults_and_the_environment_need_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of("127.0.0.1:7010", "default") == ""
    monkeypatch.setenv("WORKFLOW_GATEWAY", "elsewhere:1")

    assert options_of("elsewhere:1", "default") == ""
    assert options_of("127.0.0.1:7010", "default") == " --address 127.0.0.1:7010"


def test_the_program_is_named_by_its_path_if_the_shell_does_not_find_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/workflowctl"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert as_typed("next: workflowctl list") == "next: .venv/bin/workflowctl list"
    (tmp_path / "workflowctl").touch(0o755)

    assert as_typed("next: workflowctl list") == "next: workflowctl list"


def test_what_needs_no_gateway_gets_no_address() -> None:
    assert as_typed("workflowctl validate a.yaml --offline", " --address x:1").endswith("--offline")


def test_prose_about_the_program_stays_as_it_is() -> None:
    assert as_typed("workflowctl itself has a defect", " --address x:1") == "workflowctl itself has a defect"


def test_a_method_that_a_service_names_becomes_a_command() -> None:
    message = "workflow `orders` is INACTIVE; call ActivateWorkflow to let executions start"
    error = PreconditionError(message, metadata={"workflow_id": "orders"})

    assert from_sdk(error, "").message == (
        "workflow `orders` is INACTIVE; run `workflowctl activate orders` to let executions start"
    )
    assert with_commands("list them with ListExecutions", {}) == "list them with `workflowctl list`"


def methods_in_error_texts() -> set[str]:
    """The methods that some text of a service names, in a sentence."""
    found = set()
    for source in (ROOT / "services").rglob("*.py"):
        tree = ast.parse(source.read_text())
        described = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
                found |= {name for name in METHODS if re.search(rf"[a-z] {name}\b", node.value)}
    return found


def test_every_method_that_a_service_suggests_has_a_command() -> None:
    suggested = methods_in_error_texts()
    assert "ActivateWorkflow" in suggested
    for name in suggested:
        assert "workflowctl" in with_commands(f"call {name} first", {}), f"there is no command for {name}"
