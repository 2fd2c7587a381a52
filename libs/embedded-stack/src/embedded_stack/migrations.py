"""Bringing the database to the version that the services expect, before they start."""

import asyncio
import signal
import sys
from pathlib import Path

from embedded_stack.processes import Child, Command
from embedded_stack.services import ServicePlan

TIMEOUT_SECONDS = 120.0


async def migrate(plan: ServicePlan, name: str, module: str) -> None:
    """Run `python -m MODULE migrate` to its end; nothing changes when there is nothing to migrate.

    Raises StackError, with the end of its log, when it fails or takes too long.
    """
    child = Child.start(
        Command(
            name=name,
            arguments=[sys.executable, "-m", module, "migrate"],
            log=plan.data / "logs" / f"{name}.log",
            pid_file=plan.data / "run" / f"{name}.pid",
            environment=plan.migration_environment(),
            directory=Path.cwd(),
            death_signal=signal.SIGKILL,
        )
    )
    try:
        await asyncio.wait({ended := asyncio.create_task(child.ended())}, timeout=TIMEOUT_SECONDS)
        ended.cancel()
        if child.exit_code != 0:
            raise child.failure("the database was not migrated")
    finally:
        child.kill_group()
