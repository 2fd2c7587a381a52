"""The import contracts of pyproject.toml hold, and each of them is able to fail."""

import os
import shutil
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = CONFIGURATION["contracts"]

VIOLATIONS = {
    "No service imports another; they meet only in protos": (
        "workflow_gateway/bootstrap.py",
        "workflow_catalog",
    ),
    "Within a service imports point inward": (
        "execution_orchestrator/application/engine/work.py",
        "execution_orchestrator.adapters",
    ),
    "No package has an import cycle": (
        "execution_orchestrator/domain/execution.py",
        "execution_orchestrator.domain.decision",
    ),
    "The parts of the gateway know nothing of each other": (
        "workflow_gateway/watch/feed.py",
        "workflow_gateway.forwarder",
    ),
    "The parts of the worker know nothing of each other": (
        "workflow_worker/handlers/basic.py",
        "workflow_worker.telemetry",
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
    "The modules of the SDK stand one above the other": ("workflow_sdk/calls.py", "workflow_sdk.client"),
    "The modules of the SDK's worker stand one above the other": (
        "workflow_sdk/worker/heartbeats.py",
        "workflow_sdk.worker.executor",
    ),
    "The modules of the SDK's authoring stand one above the other": (
        "workflow_sdk/authoring/cel_text.py",
        "workflow_sdk.authoring.workflow",
    ),
    "The modules of the SDK's tools for tests stand one above the other": (
        "workflow_sdk/testing/context.py",
        "workflow_sdk.testing.handlers",
    ),
    "No module of the SDK imports the package that offers them all": (
        "workflow_sdk/worker/runtime.py",
        "workflow_sdk",
    ),
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


@pytest.mark.parametrize(
    "package",
    ["workflow_catalog", "execution_orchestrator", "workflow_gateway", "workflow_worker", "service_kit"],
)
def test_a_room_that_no_layer_names_breaks_a_contract(tree: Path, package: str) -> None:
    (tree / package / "attic.py").write_text("")

    assert f"{package}.attic" in lint(tree)


def test_every_contract_breaks_when_it_is_violated(tree: Path) -> None:
    for file, module in VIOLATIONS.values():
        path = tree / file
        path.write_text(f"{path.read_text()}\nimport {module}\n")
    said = lint(tree)

    assert [name for name in VIOLATIONS if f"{name} BROKEN" not in said] == []


def cycle_in(graph: grimp.ImportGraph) -> list[str]:
    """Return the modules of one import cycle, or nothing if there is no cycle."""
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


@pytest.fixture
def graph() -> grimp.ImportGraph:
    """Every import between our modules, also imports that only a type checker sees."""
    return grimp.build_graph(*CONFIGURATION["root_packages"], cache_dir=None)


def test_no_module_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    """The contract compares packages; this one also sees a module that imports the package it is in."""
    assert cycle_in(graph) == []


def test_a_cycle_through_a_package_would_be_found(graph: grimp.ImportGraph) -> None:
    package, module = "workflow_contract", "workflow_contract.limits"
    assert module in graph.modules

    graph.add_import(importer=package, imported=module)
    graph.add_import(importer=module, imported=package)

    assert set(cycle_in(graph)) >= {package, module}
