"""Migrate the database to the schema of the services before they start."""

import asyncio
import hashlib
import importlib.util
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from embedded_stack.processes import Child, Command
from embedded_stack.services import ServicePlan

TIMEOUT_SECONDS = 120.0


async def migrate(plan: ServicePlan, name: str, module: str) -> None:
    """Run `python -m MODULE migrate` to its end. It changes nothing if the schema is current.

    If it fails or takes too long, raise StackError with the end of its log.
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


class MigrationRecord:
    """A record of the migrations of an embedded database, stored beside its data.

    If there is no new migration, it saves a second at each start.
    """

    def __init__(self, state: Path, modules: Iterable[str]) -> None:
        self._file = state / "migrated"
        self._fingerprint = _fingerprint(modules)

    def is_current(self) -> bool:
        """Return whether all migrations of the packages have run."""
        return self._file.exists() and self._file.read_text() == self._fingerprint

    def note(self) -> None:
        """Record that all migrations have run."""
        self._file.write_text(self._fingerprint)


def _fingerprint(modules: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        for file in _migration_files(module):
            digest.update(f"{module} {file.name} ".encode() + file.read_bytes())
    return digest.hexdigest()


def _migration_files(module: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(module)
    for package in (spec and spec.submodule_search_locations) or ():
        yield from sorted(Path(package).glob("**/migrations/**/*.py"))
