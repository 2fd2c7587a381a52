"""The page of the life of a workflow."""

from pathlib import Path

from workflow_catalog.domain.diagram import page
from workflow_catalog.domain.workflow import Method, WorkflowStatus

PAGE = Path(__file__).parents[3] / "docs" / "workflow-status.md"


def test_the_page_is_what_the_tables_say() -> None:
    advice = "run `python -m workflow_catalog.domain.diagram > docs/workflow-status.md`"
    assert PAGE.read_text() == page(), advice


def test_the_page_has_every_status_and_every_method() -> None:
    text = page()

    assert all(f"| {status} |" in text for status in WorkflowStatus)
    assert all(method in text for method in Method)
