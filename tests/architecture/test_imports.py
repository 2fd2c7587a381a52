"""The import contracts of pyproject.toml hold, and each of them is able to fail."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

VIOLATIONS = {
    "No service imports another; they meet only in protos": (
        "workflow_gateway/bootstrap.py",
        "workflow_catalog",
    ),
    "Within a service imports point inward": (
        "execution_orchestrator/application/engine/work.py",
        "execution_orchestrator.adapters",
    ),
    "The domain does no I/O": ("execution_orchestrator/domain/decide.py", "asyncio"),
    "The orchestrator's core knows no protobuf and no JSON Schema": (
        "execution_orchestrator/application/starting/starts.py",
        "workflow_schemas",
    ),
    "The rooms of the orchestrator's application stand one above the other": (
        "execution_orchestrator/application/engine/plans.py",
        "execution_orchestrator.application.workers.dispatcher",
    ),
    "The rooms of service_kit stand one above the other": (
        "service_kit/tools/clock.py",
        "service_kit.rpc.server",
    ),
    "service_kit knows nothing of workflows": (
        "service_kit/tools/clock.py",
        "workflowsystem.type.v1.failure_pb2",
    ),
    "The meaning of the contract is pure": (
        "workflow_contract/payloads/check.py",
        "google.protobuf",
    ),
    "Expressions are pure": ("workflow_expressions/scope.py", "socket"),
    "Schemas know nothing of services": ("workflow_schemas/cost.py", "service_kit.tools.ids"),
    "The SDK needs no service and no store": ("workflow_sdk/client.py", "redis"),
    "Workers and the gateway touch no database": ("workflow_worker/__main__.py", "asyncpg"),
}


def lint(tree: Path) -> str:
    """What import-linter says of the packages in `tree`."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [LINTER, "--config", ROOT / "pyproject.toml", "--no-cache"]
    run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of every package of ours."""
    for source in (*ROOT.glob("libs/*/src"), *ROOT.glob("services/*/src")):
        for package in source.iterdir():
            if package.is_dir() and not package.name.endswith(".egg-info"):
                shutil.copytree(package, tmp_path / package.name, dirs_exist_ok=True)
    return tmp_path


def test_every_contract_has_a_violation_to_prove_it() -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in lint(tree)


def test_every_contract_breaks_when_it_is_violated(tree: Path) -> None:
    for file, module in VIOLATIONS.values():
        path = tree / file
        path.write_text(f"{path.read_text()}\nimport {module}\n")
    said = lint(tree)
    assert [name for name in VIOLATIONS if f"{name} BROKEN" not in said] == []
