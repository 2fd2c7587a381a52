"""A person who follows a page to the letter: an empty home directory, a copy of the project, free ports."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded_stack.ports import free_ports
from embedded_stack.settings import StackSettings
from testkit.directories import temporary_server_directory

from tests.e2e.pages import ROOT, Block, Step

UP_SECONDS = 240
COMMAND_SECONDS = 300
PORTS = {
    name.removeprefix("workflow_").removesuffix("_port"): field.default
    for name, field in StackSettings.model_fields.items()
    if name.endswith("_port")
}
"""The ports of the pages, by name."""


class Newcomer:
    """Runs what a page says, in its order."""

    def __init__(self, home: Path, project: Path) -> None:
        self.project = project
        self._new_ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.environment = {
            "HOME": str(home),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "WORKFLOW_GATEWAY": f"127.0.0.1:{self._new_ports['gateway']}",
            **{f"WORKFLOW_{name.upper()}_PORT": str(port) for name, port in self._new_ports.items()},
        }
        self._up: subprocess.Popen[str] | None = None
        self.log = home / "make-up.txt"

    def save(self, block: Block) -> None:
        """Write the file that the page shows."""
        (self.project / block.file_name).write_text(self._with_my_ports(block.text))

    def run(self, step: Step) -> str:
        """Run a command to its end, or `make up` until it is up. Return what it printed."""
        if re.search(r"\bmake up\b", step.command):
            return self._start(step)
        done = subprocess.run(
            ["sh", "-c", self._with_my_ports(self._with_an_id(step.command))],
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{step.place}: `{step.command}` gave {done.returncode}:\n{done.stdout}"
        for line in step.output:
            assert line in done.stdout, (
                f"{step.place}: `{step.command}` does not show {line!r}:\n{done.stdout}"
            )
        return done.stdout

    def _start(self, step: Step) -> str:
        self.stop()
        with self.log.open("w") as log:
            self._up = subprocess.Popen(
                ["sh", "-c", step.command],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        deadline = time.monotonic() + UP_SECONDS
        while "Ctrl-C stops everything" not in (said := self.log.read_text()):
            assert self._up.poll() is None, f"{step.place}: `{step.command}` has ended:\n{said}"
            assert time.monotonic() < deadline, f"{step.place}: not up after {UP_SECONDS} s:\n{said}"
            time.sleep(0.1)
        return said

    def stop(self) -> None:
        """Press Ctrl-C in the terminal of `make up`, if it runs, and wait for its end."""
        if self._up is None:
            return
        os.killpg(self._up.pid, signal.SIGINT)
        self._up.wait(COMMAND_SECONDS)
        self._up = None
        assert "stopped" in self.log.read_text().splitlines()[-1], self.log.read_text()

    def _with_my_ports(self, text: str) -> str:
        """Replace the ports of the page by those in use."""
        for name, port in PORTS.items():
            text = re.sub(rf"(?<=127\.0\.0\.1:){port}\b", str(self._new_ports[name]), text)
        return text

    def _with_an_id(self, command: str) -> str:
        """Replace `ID` by the newest execution."""
        if not re.search(r"\bID\b", command):
            return command
        listed = self.run(Step("the id of an execution", ".venv/bin/workflowctl list"))
        newest = re.search(r"^[0-9a-f-]{36}", listed, re.MULTILINE)
        assert newest is not None, listed
        return re.sub(r"\bID\b", newest[0], command)


@contextmanager
def newcomer() -> Iterator[Newcomer]:
    """Give somebody a copy of the project, with everything that git does not ignore, and stop their stack.

    Their `.venv` is the one of this project, because a new one takes minutes; the files keep their times, so
    that `make install` finds nothing to do.
    """
    with temporary_server_directory() as base:
        home, project = base / "home", base / "project"
        home.mkdir()
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, project / name)
        (project / ".venv").symlink_to(ROOT / ".venv")
        person = Newcomer(home, project)
        try:
            yield person
        finally:
            person.stop()
