"""The pages of the demo."""

from typing import Any

import pytest
from embedded_stack.hints import program
from workflowctl.definition_file import load
from workflowctl.presentation import consoles

from examples.code_census.demo import WORKFLOW, commands, report_table, show_commands, show_title
from tests.unit.workflowctl.making import console


def count(name: str, lines: int) -> dict[str, Any]:
    longest = {"name": f"{name}.some_module.SomeClass.a_function_of_quite_some_length", "lines": 1_234}
    return {
        "name": name,
        "files": 12,
        "lines": lines,
        "functions": 1_000,
        "classes": 100,
        "longest_function": longest,
    }


def test_the_report_fits_a_narrow_terminal_with_all_its_numbers() -> None:
    largest = [count("multiprocessing", 123_456), count("email", 7)]
    largest[1]["longest_function"] = None
    screen = console(width=80)
    screen.print(report_table({"packages": 213, "largest": largest, **count("all", 654_321)}))

    text = screen.export_text()

    assert "multiprocessing" in text
    assert "123,456" in text
    assert "654,321" in text
    assert "all 213" in text
    assert "1234 some_mod" in text


def test_the_workflow_of_the_demo_is_good() -> None:
    assert load(str(WORKFLOW)).workflow_id == "code-census"


def test_the_commands_name_the_ports_that_are_set(monkeypatch: Any) -> None:
    monkeypatch.setenv("WORKFLOW_GATEWAY_PORT", "1234")
    typed = [command for command, _ in commands()]

    assert f"{program('workflowctl')} start code-census --watch --address 127.0.0.1:1234" in typed


def test_the_marks_of_bold_text_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The console of workflowctl takes texts in square brackets as they are."""
    console = consoles.stdout()
    show_title(console)
    show_commands(console)
    shown = capsys.readouterr().out

    assert "WorkflowSystem  a census" in shown
    assert "Look around: type make up" in shown
    assert "[" not in shown
