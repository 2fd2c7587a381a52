"""The process that runs the servers of one test run: `python -m testkit.server_keeper DIRECTORY PID`.

All xdist workers share the servers, and any of them may end before the others. So the servers belong to this
process, which ends with the process PID (which the user started) or at its request (SIGTERM).
"""

import json
import shutil
import signal
import sys
import threading
from pathlib import Path

from embedded_stack import Servers
from embedded_stack.pidfile import start_token

ADDRESSES_FILE = "addresses.json"
ERROR_FILE = "error.txt"

_POLL_SECONDS = 0.2


def main(directory: Path, watched_pid: int) -> None:
    """Start the servers, write their addresses into the directory, and run them until the test run ends."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    watched = start_token(watched_pid)
    try:
        servers = Servers.start(directory, fsync=False)
    except Exception as error:
        _publish(directory / ERROR_FILE, str(error))
        raise
    with servers:
        addresses = servers.addresses
        content = {
            "socket_directory": str(addresses.socket_directory),
            "postgres_port": addresses.postgres_port,
            "replica_port": addresses.replica_port,
            "redis_port": addresses.redis_port,
            "password": addresses.password,
        }
        _publish(directory / ADDRESSES_FILE, json.dumps(content))
        while start_token(watched_pid) == watched and not stop.wait(_POLL_SECONDS):
            pass
    shutil.rmtree(directory, ignore_errors=True)


def _publish(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
