"""No test replaces a constant of a module: it gives another value to the constructor that has the default."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")
PATCHES = {"setattr", "setitem", "object", "patch"}
"""The last names of the functions that replace something: `monkeypatch.setattr`, `mock.patch.object`, ..."""

ALLOWED: dict[tuple[str, str], str] = {
    ("integration/orchestrator/test_timers.py", "DUE_TASKS"): (
        "a statement, not a limit: without turns, rows stay with their replica however slow the machine is"
    ),
}
"""The file and the name of each constant that a test may replace, and why."""


def patched_constants(source: str) -> Iterator[str]:
    """Yield the names of the constants that the source of a test replaces."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name_of(node.func) in PATCHES:
            words = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            names = [word.rpartition(".")[2] for word in words if isinstance(word, str)]
            yield from (name for name in names if CONSTANT.fullmatch(name))
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                each.attr
                for each in targets
                if isinstance(each, ast.Attribute) and CONSTANT.fullmatch(each.attr)
            )


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_no_test_replaces_a_constant_of_a_module() -> None:
    found = {
        (str(path.relative_to(TESTS)), name)
        for path in TESTS.glob("**/*.py")
        if path != Path(__file__)
        for name in patched_constants(path.read_text())
    }

    assert sorted(found - ALLOWED.keys()) == [], "give the value to the constructor instead"
    assert sorted(ALLOWED.keys() - found) == [], "no test replaces these any more: delete them here"


@pytest.mark.parametrize(
    "line",
    [
        'monkeypatch.setattr(timers, "TIMER_SECONDS", 3600.0)',
        'monkeypatch.setattr("workflow_sdk.watch.SILENCE_SECONDS", 0.5)',
        'with monkeypatch.context() as patched: patched.setattr(pools, "_LIMIT", 1)',
        'with mock.patch.object(timers, "TIMER_SECONDS", 1): pass',
        'with patch("service_kit.data.pools.UNANSWERED_SECONDS", 1): pass',
        "timers.TIMER_SECONDS = 1",
    ],
)
def test_every_way_to_replace_a_constant_is_found(line: str) -> None:
    assert len(list(patched_constants(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        'monkeypatch.setattr(store, "transaction", stuck)',
        'monkeypatch.setattr(server_care, "RestartPause", ShortPause)',
        'monkeypatch.setenv("FAKE_STUBBORN", "worker-1")',
        "limit = timers.TIMER_SECONDS",
    ],
)
def test_what_replaces_no_constant_is_not_found(line: str) -> None:
    assert list(patched_constants(line)) == []
