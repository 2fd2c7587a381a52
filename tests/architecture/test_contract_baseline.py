"""Whatever a client may rely on cannot leave the contracts unnoticed."""

import datetime
import shutil
from pathlib import Path

import pytest

from tools.contract_baseline import BaselineError, check, take

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2031, 2, 3)
EXECUTION = "protos/workflowsystem/execution/v1/execution.proto"
SERVICE = "protos/workflowsystem/execution/v1/execution_service.proto"
EVENT = "protos/workflowsystem/execution/v1/event.proto"
FAILURE = "protos/workflowsystem/type/v1/failure.proto"

BREAKS = {
    "a field is removed": (FAILURE, "  string details = 3;\n", ""),
    "a field is removed and its number reserved": (
        FAILURE,
        "  string details = 3;\n",
        '  reserved 3;\n  reserved "details";\n',
    ),
    "a field is renumbered": (FAILURE, "string details = 3;", "string details = 77;"),
    "a field is renamed": (FAILURE, "string details = 3;", "string detail = 3;"),
    "a field is retyped": (FAILURE, "int32 attempt = 7;", "string attempt = 7;"),
    "a field becomes repeated": (FAILURE, "string details = 3;", "repeated string details = 3;"),
    "a method is dropped": (
        SERVICE,
        "  rpc StartExecution(StartExecutionRequest) returns (Execution);\n",
        "",
    ),
    "a method is renamed": (SERVICE, "rpc StartExecution(", "rpc BeginExecution("),
    "a method answers with another message": (
        SERVICE,
        "rpc StartExecution(StartExecutionRequest) returns (Execution);",
        "rpc StartExecution(StartExecutionRequest) returns (StartExecutionRequest);",
    ),
    "an enum value is renamed": (EXECUTION, "TASK_STATUS_SKIPPED = 9", "TASK_STATUS_LEFT_OUT = 9"),
    "an enum value is renumbered": (EXECUTION, "TASK_STATUS_SKIPPED = 9", "TASK_STATUS_SKIPPED = 99"),
    "a message is renamed": (EVENT, "message ExecutionEvent {", "message ExecutionFact {"),
    "the package of the Go code moves": (
        FAILURE,
        "workflowsystem/type/v1;typev1",
        "workflowsystem/types;types",
    ),
}

ADDITIONS = {
    "a field": (FAILURE, "  string details = 3;\n", "  string details = 3;\n  string hint = 3000;\n"),
    "an enum value": (
        EXECUTION,
        "  TASK_STATUS_SKIPPED = 9;\n",
        "  TASK_STATUS_SKIPPED = 9;\n  TASK_STATUS_LATE = 3000;\n",
    ),
    "a method": (
        SERVICE,
        "  rpc StartExecution(",
        "  rpc AddedExecution(StartExecutionRequest) returns (Execution);\n  rpc StartExecution(",
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The contracts in a folder without git, with a baseline of exactly them."""
    for name in ("protos", "third_party"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    (tmp_path / "protos/baseline.binpb").unlink()
    take(tmp_path, TODAY)
    return tmp_path


def change(tree: Path, file: str, old: str, new: str) -> None:
    text = (tree / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}: give this test another example"
    (tree / file).write_text(text.replace(old, new), encoding="utf-8")


def test_the_committed_baseline_is_kept_and_has_everything() -> None:
    check(ROOT)


@pytest.mark.parametrize("what", BREAKS)
def test_a_break_is_refused_by_the_check_and_by_a_new_baseline(tree: Path, what: str) -> None:
    change(tree, *BREAKS[what])
    before = (tree / "protos/baseline.binpb").read_bytes()

    with pytest.raises(BaselineError, match="break what clients rely on"):
        check(tree)
    with pytest.raises(BaselineError, match="break what clients rely on"):
        take(tree, TODAY)
    assert (tree / "protos/baseline.binpb").read_bytes() == before


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_is_accepted_and_guarded_from_the_new_baseline_on(tree: Path, what: str) -> None:
    file, old, new = ADDITIONS[what]
    change(tree, file, old, new)
    with pytest.raises(BaselineError, match="make protos-baseline"):
        check(tree)
    take(tree, TODAY)
    check(tree)

    change(tree, file, new, old)

    with pytest.raises(BaselineError, match="break what clients rely on"):
        check(tree)


def test_a_comment_needs_no_new_baseline(tree: Path) -> None:
    change(tree, FAILURE, "  string details = 3;\n", "  // Another word.\n  string details = 3;\n")
    check(tree)


def test_a_break_needs_an_entry_of_the_same_day(tree: Path) -> None:
    change(tree, *BREAKS["a field is removed"])
    with pytest.raises(BaselineError, match="no entry of 2031-02-03"):
        take(tree, TODAY, accept_break=True)
    with (tree / "protos/README.md").open("a", encoding="utf-8") as readme:
        readme.write("- 2031-02-03: `Failure.details` is gone, because it was never set.\n")
    take(tree, TODAY, accept_break=True)
    check(tree)


def test_a_missing_baseline_is_no_pass(tree: Path) -> None:
    (tree / "protos/baseline.binpb").unlink()
    with pytest.raises(BaselineError, match="restore it from git"):
        check(tree)
