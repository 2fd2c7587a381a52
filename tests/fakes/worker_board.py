"""A board of connected workers in memory. It passes the same contract suite as the board in Redis."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from execution_orchestrator.application.ports.hints import HintsUnavailableError
from execution_orchestrator.application.ports.worker_board import BoardEntry, BoardKey, WorkerFacts
from service_kit.tools.clock import Clock, SystemClock


class FakeWorkerBoard:
    """The board that every replica of a test shares: the entries of each replica, and until when they hold.

    While it is `down`, Redis does not answer. `written` has what each write with entries wrote.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._written: dict[str, tuple[float, datetime, dict[BoardKey, tuple[bytes | None, bytes]]]] = {}
        self.written: list[Mapping[BoardKey, WorkerFacts]] = []
        self.down = False

    async def write(
        self,
        replica: str,
        written: Mapping[BoardKey, WorkerFacts],
        gone: Collection[BoardKey],
        now: datetime,
        trust_seconds: float,
    ) -> bool:
        self._check()
        if written:
            self.written.append(dict(written))
        known = replica in self._held()
        entries = self._written[replica][2] if known else {}
        for key, facts in written.items():
            before = entries.get(key, (None, b""))[0]
            entries[key] = (before if facts.identity is None else facts.identity, facts.state)
        for key in gone:
            entries.pop(key, None)
        self._written[replica] = (self._clock.monotonic() + trust_seconds, now, entries)
        return known

    async def forget(self, replica: str) -> None:
        self._check()
        self._written.pop(replica, None)

    async def entries(self) -> list[BoardEntry]:
        held = self._held()
        return [BoardEntry(name, held[name][1], key) for name in held for key in held[name][2]]

    async def read(self, entries: Sequence[BoardEntry]) -> list[tuple[bytes, bytes] | None]:
        return [self._read(entry) for entry in entries]

    def _read(self, entry: BoardEntry) -> tuple[bytes, bytes] | None:
        held = self._held()
        identity, state = (
            held[entry.replica][2].get(entry.key, (None, b"")) if entry.replica in held else (None, b"")
        )
        return None if identity is None else (identity, state)

    def _held(self) -> dict[str, tuple[float, datetime, dict[BoardKey, tuple[bytes | None, bytes]]]]:
        now = self._clock.monotonic()
        return {name: each for name, each in self._written.items() if now < each[0]}

    def _check(self) -> None:
        if self.down:
            raise HintsUnavailableError("Redis does not answer")

    def wipe(self) -> None:
        """Do what FLUSHALL does."""
        self._written.clear()
