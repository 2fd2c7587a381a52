"""Pid files never name the wrong process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_stack.leftovers import STACK_VARIABLE, stop_leftovers
from embedded_stack.pidfile import read_pid_file, start_token, write_pid_file


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_recorded_process_is_found_again(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    write_pid_file(tmp_path / "a.pid", sleeper.pid, signal.SIGTERM)
    entry = read_pid_file(tmp_path / "a.pid")

    assert entry is not None
    assert (entry.pid, entry.stop_signal) == (sleeper.pid, signal.SIGTERM)
    assert entry.still_runs()


def test_a_process_that_ended_is_not_running(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    write_pid_file(tmp_path / "a.pid", sleeper.pid, signal.SIGTERM)
    entry = read_pid_file(tmp_path / "a.pid")
    sleeper.kill()
    sleeper.wait()

    assert entry is not None
    assert not entry.still_runs()


def test_a_zombie_is_not_running(sleeper: "subprocess.Popen[bytes]") -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)

    assert start_token(sleeper.pid) is None


@pytest.mark.parametrize("content", ["", "12", "twelve x SIGTERM", "12 x SIGNOTHING"])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.pid").write_text(content)
    assert read_pid_file(tmp_path / "a.pid") is None


def test_left_overs_are_ended_and_their_pid_files_removed(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    write_pid_file(tmp_path / "sleeper.pid", sleeper.pid, signal.SIGTERM)

    assert stop_leftovers(tmp_path, tmp_path) == ["sleeper"]
    assert sleeper.wait(10) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_a_recorded_pid_is_left_alone(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    write_pid_file(tmp_path / "sleeper.pid", sleeper.pid, signal.SIGTERM)
    pid, token, stop_signal = (tmp_path / "sleeper.pid").read_text().split()
    (tmp_path / "sleeper.pid").write_text(f"{pid} {token[:-1]}x {stop_signal}")

    assert stop_leftovers(tmp_path, tmp_path) == []
    assert sleeper.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="found in /proc")
def test_a_child_of_a_dead_process_of_an_earlier_run_is_ended_too(tmp_path: Path) -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, STACK_VARIABLE: str(tmp_path)},
    )
    with parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        while not Path(f"/proc/{orphan}/environ").read_bytes():
            pass  # the kernel has not filled it yet
        write_pid_file(tmp_path / "worker-1.pid", parent.pid, signal.SIGTERM)
        os.kill(parent.pid, signal.SIGKILL)
    assert start_token(orphan) is not None

    stop_leftovers(tmp_path, tmp_path)

    assert start_token(orphan) is None
