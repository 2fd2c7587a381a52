"""Run the user's command on the terminal while the stack runs."""

import asyncio
import signal
import subprocess
from collections.abc import Mapping

from embedded_stack.errors import StackError
from embedded_stack.processes import die_with_parent, end_of
from embedded_stack.services import STORE_NAMES, environment_with
from embedded_stack.stop_requests import StopRequests

INTERRUPT_GRACE_SECONDS = 3.0
TERMINATE_GRACE_SECONDS = 7.0


async def run_in_foreground(
    command: list[str], environment: Mapping[str, str], requests: StopRequests
) -> int:
    """Run the command to its end and return its exit code, or 128 + N if signal N ended it.

    Pass a request to stop on to the command. A terminal sends SIGINT to the command too; so after SIGINT,
    send SIGTERM only if it does not end in time. Raise StackError if it cannot be executed.
    """
    process = _start(command, environment)
    ended = asyncio.create_task(end_of(process))
    try:
        request = await requests.unless_done(ended)
        if request == signal.SIGINT:
            await asyncio.wait({ended}, timeout=INTERRUPT_GRACE_SECONDS)
        if not ended.done():
            process.terminate()
            await asyncio.wait({ended}, timeout=TERMINATE_GRACE_SECONDS)
    finally:
        process.kill()
        process.wait()
        ended.cancel()
    code = process.returncode
    return code if code >= 0 else 128 - code


def _start(command: list[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            env=environment_with(environment, STORE_NAMES),
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    except OSError as error:
        raise StackError(f"cannot run {command[0]}: {error.strerror}") from error
