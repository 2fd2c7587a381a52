"""The command line, as `make demo` and `make up` use it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testkit.directories import temporary_server_directory

CLI = [sys.executable, "-m", "embedded_stack"]
TIMEOUT_SECONDS = 60


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_server_directory() as path:
        yield path


def servers(directory: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    arguments = [*CLI, "servers", "--quiet", "--data-dir", str(directory), "--", *command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)


def test_a_command_is_told_where_the_servers_are(directory: Path) -> None:
    result = servers(directory, "sh", "-c", 'echo "$DEFAULT_CONNECTION $READ_ONLY_CONNECTION $REDIS"')
    primary, replica, redis = result.stdout.split()

    assert primary.startswith("postgresql://postgres@/workflows?host=")
    assert replica != primary
    assert redis.startswith("redis://127.0.0.1:")
    assert result.stderr == ""


def test_the_exit_code_is_that_of_the_command(directory: Path) -> None:
    assert servers(directory, "sh", "-c", "exit 7").returncode == 7


def test_a_command_ended_by_a_signal_gives_128_and_its_number(directory: Path) -> None:
    assert servers(directory, "sh", "-c", "kill -9 $$").returncode == 128 + signal.SIGKILL


def test_a_missing_command_is_explained_without_a_traceback(directory: Path) -> None:
    result = servers(directory, "no-such-command")

    assert result.returncode == 1
    assert result.stderr == "error: cannot run no-such-command: No such file or directory\n"


def test_sigterm_ends_the_command_and_the_servers(directory: Path) -> None:
    stack = [*CLI, "servers", "--quiet", "--data-dir", str(directory)]
    command = ["sh", "-c", "echo up; exec sleep 600"]
    with subprocess.Popen([*stack, "--", *command], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 128 + signal.SIGTERM

    assert list((directory / "run").iterdir()) == []


def test_a_port_in_use_is_one_clear_line(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [*CLI, "up", "--data-dir", str(directory)],
            env={**os.environ, "WORKFLOW_GATEWAY_PORT": port},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    assert result.returncode == 1
    assert result.stderr == (
        f"error: port {port} is taken by another program: "
        "stop that, or set WORKFLOW_GATEWAY_PORT to a free port\n"
    )


def test_a_wrong_setting_is_one_clear_line(directory: Path) -> None:
    result = subprocess.run(
        [*CLI, "up", "--data-dir", str(directory)],
        env={**os.environ, "WORKFLOW_WORKERS": "many"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("error: WORKFLOW_WORKERS: ")
    assert result.stderr.count("\n") == 1


def test_a_missing_module_is_one_clear_line_and_no_database_starts(directory: Path) -> None:
    result = subprocess.run(
        [*CLI, "up", "--data-dir", str(directory)],
        env={**os.environ, "WORKER_MODULES": "greetngs", "GRPC_LISTEN": "0.0.0.0:7010"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )

    warning, *error = result.stderr.splitlines()

    assert result.returncode == 1
    assert warning.startswith("warning: GRPC_LISTEN has no effect")
    assert len(error) == 1
    assert error[0].startswith("error: WORKER_MODULES names `greetngs`, but there is no such module")
    assert not list(directory.rglob("PG_VERSION"))


def test_an_error_quotes_no_lines_of_an_earlier_run(directory: Path, tmp_path: Path) -> None:
    """The stack's own modules fail here, so that nothing else has to start."""
    (tmp_path / "broken_handlers.py").write_text("raise RuntimeError('out of handlers')\n")
    log = directory / "logs" / "worker-1.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("a line of an earlier run\n")

    result = subprocess.run(
        [*CLI, "run", "--data-dir", str(directory), "--", "true"],
        env={
            **os.environ,
            "WORKER_MODULES": "broken_handlers",
            "PYTHONPATH": str(tmp_path),
            "WORKFLOW_WORKERS": "1",
        },
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT_SECONDS,
        check=False,
    )

    assert result.returncode == 1
    assert "a line of an earlier run" not in result.stderr
    assert "out of handlers" in result.stderr.splitlines()[-1]
