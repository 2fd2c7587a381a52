"""A service for tests of the supervisor: `serve` answers /readyz, `migrate` does nothing.

What it does is noted in the file FAKE_JOURNAL, one line each. FAKE_BROKEN names services that end at once,
FAKE_STUBBORN those that do not stop when asked.
"""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import FrameType

WORKER_ID = os.environ.get("WORKFLOW_WORKER_ID")
ROLE = "migrate" if sys.argv[1] == "migrate" else WORKER_ID or os.environ["GRPC_LISTEN"]


def note(event: str) -> None:
    with Path(os.environ["FAKE_JOURNAL"]).open("a") as journal:
        journal.write(f"{event} {ROLE} {os.getpid()}\n")


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def stop(number: int, frame: FrameType | None) -> None:
    if ROLE in os.environ.get("FAKE_STUBBORN", "").split(","):
        return
    note("stopped")
    sys.exit(0)


def main() -> None:
    note("started")
    if ROLE in os.environ.get("FAKE_BROKEN", "").split(","):
        sys.exit("cannot reach the moon")
    if sys.argv[1] == "migrate":
        return
    signal.signal(signal.SIGTERM, stop)
    subprocess.Popen(["sleep", "600"])  # what a service forks must end with it
    host, port = os.environ["HTTP_LISTEN"].split(":")
    HTTPServer((host, int(port)), Ready).serve_forever()


if __name__ == "__main__":
    main()
