"""Rules of the tree that no linter knows."""

import re
from pathlib import Path

from workflowsystem.type.v1.error_reason_pb2 import ErrorReason

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("libs", "services", "examples", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "workflow-protos/src" not in path.as_posix()
]
MAX_LINES = 400


def test_a_file_has_one_subject_and_at_most_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_every_reason_that_the_code_gives_is_in_the_contract() -> None:
    known = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name}
    shouted = re.compile(r'"([A-Z]+(?:_[A-Z]+)+)"')
    for package in ("execution_orchestrator", "workflow_catalog", "workflow_gateway"):
        for path in ROOT.glob(f"services/*/src/{package}/entrypoints/error_map.py"):
            assert set(shouted.findall(path.read_text())) <= known
