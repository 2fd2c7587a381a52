"""A defect of workflowctl itself ends in one line, with an exit code of its own."""

import logging
import threading

import pytest
from workflow_sdk.statuses import ExecutionStatus
from workflowctl import app, cli
from workflowctl.commands.executions import _ended
from workflowctl.errors import CommandError
from workflowctl.exit_codes import ExitCode


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_arguments: list[str]) -> int:
        raise KeyError("bad \x1b]52;c;Zm9v\x07\nkey")

    monkeypatch.setattr(cli, "run", run)


@pytest.mark.usefixtures("defect")
def test_a_defect_is_one_line_with_what_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert app._run([], debug=False) == ExitCode.DEFECT == 9
    (line,) = capsys.readouterr().err.splitlines()

    assert line.startswith("error: a defect of workflowctl itself, please report it with the output of")
    assert "--debug" in line
    assert "KeyError" in line
    assert "test_defects.py:" in line
    assert "\x1b" not in line


@pytest.mark.usefixtures("defect")
def test_the_debug_switch_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert app._run([], debug=True) == ExitCode.DEFECT
    err = capsys.readouterr().err

    assert "Traceback" in err
    assert "\x1b" not in err


def test_a_thread_that_fails_shows_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(app.sys, "unraisablehook", app.sys.unraisablehook)
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    app._be_quiet(debug=False)
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()

    thread.join()

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", [ExecutionStatus.UNKNOWN, ExecutionStatus.RUNNING, ExecutionStatus.PAUSED])
def test_a_watch_that_ends_before_its_execution_is_no_success(status: ExecutionStatus) -> None:
    with pytest.raises(CommandError, match="the execution did not") as caught:
        _ended(status, "id")
    assert caught.value.code == ExitCode.UNAVAILABLE
