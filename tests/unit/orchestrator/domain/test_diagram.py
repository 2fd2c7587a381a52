"""The page of the state machines is what the tables say."""

from pathlib import Path

from execution_orchestrator.domain.diagram import page
from execution_orchestrator.domain.state_machine import EXECUTION_TRANSITIONS, TASK_TRANSITIONS

PAGE = Path(__file__).parents[4] / "docs" / "state-machine.md"


def test_the_committed_page_is_current() -> None:
    advice = "run `python -m execution_orchestrator.domain.diagram > docs/state-machine.md`"
    assert PAGE.read_text(encoding="utf-8") == page(), advice


def test_the_page_has_every_row_of_both_tables() -> None:
    lines = page().splitlines()
    for table in (EXECUTION_TRANSITIONS, TASK_TRANSITIONS):
        for (before, trigger), after in table.items():
            assert f"| {before} | {after} | {trigger.name} | {trigger} |" in lines
            assert any(line.strip().startswith(f"{before} --> {after}: ") for line in lines)
