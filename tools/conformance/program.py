"""The tested worker program: a command that starts again for each rule."""

import asyncio
import os
import shlex
import signal
from pathlib import Path

from tools.conformance.played import BrokenRuleError

ADDRESS_VARIABLE = "WORKFLOW_ADDRESS"
"""The variable with the address of the orchestrator, host:port."""

STOP_SECONDS = 20.0


class Program:
    """One run of the command. Its output goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: str, address: str, log: Path) -> "Program":
        """Run the command in a new process group."""
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
        """Wait for the end of the program. Raise BrokenRuleError if it still runs after STOP_SECONDS."""
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            message = f"a worker ends after SIGTERM: it still runs after {STOP_SECONDS:g} s"
            raise BrokenRuleError(message) from None

    async def kill(self) -> None:
        """Kill the process group."""
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
