"""The worker program that is tested: a command, started anew for each rule."""

import asyncio
import os
import shlex
import signal
from pathlib import Path

from tools.conformance.played import BrokenRuleError

ADDRESS_VARIABLE = "WORKFLOW_ADDRESS"
"""Where the program finds the address of the orchestrator, host:port."""

STOP_SECONDS = 20.0


class Program:
    """One run of the command, whose output goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: str, address: str, log: Path) -> "Program":
        """Run the command in a process group of its own."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(command),
                env={**os.environ, ADDRESS_VARIABLE: address},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process)

    @property
    def has_ended(self) -> bool:
        """True if the process is gone."""
        return self._process.returncode is not None

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    async def exit_code(self) -> int:
        """Wait for the end. Raises BrokenRuleError if it does not come."""
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            message = f"a worker ends after SIGTERM: it still runs after {STOP_SECONDS:g} s"
            raise BrokenRuleError(message) from None

    async def kill(self) -> None:
        """End the process group, whatever it does."""
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
