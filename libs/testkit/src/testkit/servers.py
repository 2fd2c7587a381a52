"""The servers of one test run.

Its xdist workers share them, and the first test that needs them starts them.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from embedded_stack import Addresses, StackError
from embedded_stack.pidfile import start_token

from testkit.directories import server_directory
from testkit.server_keeper import ADDRESSES_FILE, ERROR_FILE

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 30.0

_POLL_SECONDS = 0.01


def shared_servers(run_directory: Path, controller_pid: int) -> Addresses:
    """Return the addresses of the run's servers. The first call of the run starts them.

    All processes of the run share `run_directory`. Raise StackError if the servers do not start.
    """
    note = run_directory / "servers.directory"
    with (run_directory / "servers.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(str(_launch_keeper(controller_pid)))
        return _addresses(Path(note.read_text()))


def stop_shared_servers(run_directory: Path) -> None:
    """Stop the run's servers and remove their data. If there are none, do nothing."""
    note = run_directory / "servers.directory"
    if not note.exists():
        return
    directory = Path(note.read_text())
    keeper = int((directory / "keeper.pid").read_text())
    with suppress(ProcessLookupError):
        os.kill(keeper, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while start_token(keeper) is not None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)
    note.unlink()


def _launch_keeper(controller_pid: int) -> Path:
    directory = server_directory()
    with (directory / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "testkit.server_keeper", str(directory), str(controller_pid)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (directory / "keeper.pid").write_text(str(keeper.pid))
    keeper.returncode = (
        0  # suppresses the warning about a process without a wait: `stop_shared_servers` ends it
    )
    return directory


def _addresses(directory: Path) -> Addresses:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    keeper = int((directory / "keeper.pid").read_text())
    while not (directory / ADDRESSES_FILE).exists():
        if (directory / ERROR_FILE).exists():
            raise StackError((directory / ERROR_FILE).read_text())
        if start_token(keeper) is None or time.monotonic() > deadline:
            raise StackError(f"the servers of the test run did not start: see {directory / 'keeper.log'}")
        time.sleep(_POLL_SECONDS)
    content = json.loads((directory / ADDRESSES_FILE).read_text())
    return Addresses(**{**content, "socket_directory": Path(content["socket_directory"])})
