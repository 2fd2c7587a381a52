"""The commands that `make up` prints work as they are printed."""

from pathlib import Path

import pytest
from embedded_stack.hints import first_steps, program, with_other_tools
from embedded_stack.settings import EXAMPLE_HANDLERS, Ports, StackSettings
from service_kit.process.settings import load

ROOT = Path(__file__).parents[3]


def ports(**environment: str) -> Ports:
    return Ports.of(load(StackSettings, environment))


def typed(ports: Ports, modules: str) -> list[str]:
    return [hint.command for hint in first_steps(ports, modules)]


def test_with_the_default_port_no_command_names_an_address() -> None:
    assert not any("--address" in command for command in typed(ports(), EXAMPLE_HANDLERS))


def test_with_another_port_every_command_of_workflowctl_names_it() -> None:
    commands = typed(ports(WORKFLOW_GATEWAY_PORT="8010", WORKFLOW_HTTP_PORT="8080"), EXAMPLE_HANDLERS)
    of_workflowctl = [command for command in commands if "workflowctl" in command]
    assert len(of_workflowctl) == 4
    assert all(command.endswith(" --address 127.0.0.1:8010") for command in of_workflowctl)
    others = " ".join(command for command in commands if command not in of_workflowctl)

    assert "127.0.0.1:8010" in others
    assert "127.0.0.1:8080/health" in others
    assert "7010" not in others


def test_the_example_is_published_before_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    publish, start, *_ = typed(ports(), EXAMPLE_HANDLERS)

    assert publish.endswith("publish examples/code_census/workflow.yaml")
    assert start.endswith("start code-census --watch")


def test_workers_with_other_handlers_are_not_asked_to_run_the_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert not any("census" in command for command in typed(ports(), "greetings"))


def test_in_another_folder_no_command_names_a_file_of_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    assert not any("examples/" in command for command in typed(ports(), EXAMPLE_HANDLERS))
    assert Path(program("workflowctl")).is_absolute()


def test_programs_are_named_from_the_present_folder_and_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("workflowctl", "buf"):
        assert Path(program(name)).is_file()


def test_tools_that_are_not_installed_get_their_address_too() -> None:
    psql, grpcurl = with_other_tools(ports(WORKFLOW_GATEWAY_PORT="8010"), "postgresql://h/w", embedded=True)
    assert psql.command == "psql 'postgresql://h/w'"
    assert "127.0.0.1:8010" in grpcurl.command
    own, _ = with_other_tools(ports(), "postgresql://u:secret@h/w", embedded=False)

    assert "secret" not in own.command
