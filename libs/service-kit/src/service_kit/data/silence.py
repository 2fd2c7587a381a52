"""Notice within 10 s that PostgreSQL has fallen silent, and do not mistake a slow statement for silence.

The server's own time limits end with the server. The kernel's limits (`service_kit.tools.keepalive`) do not
help while a kernel still acknowledges: the kernel of a stopped process, or of a proxy that lost its other
side. A fixed time limit for replies would break off statements that are only slow. So when a statement has
waited for some seconds, the watch asks the server over a separate connection whether it works on that
statement:

    the server answers, and works on it        wait on, and ask again 5 s later
    the server answers, and does not           the reply or the statement was lost: break the connection
    the server does not answer                 break the connection

The caller gets the error of a lost connection. The pool gives up its other connections too, so that they do
not cost the same wait one after the other. The watch ends the sessions that the server still has for broken
connections, because they may hold locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import asyncpg
import structlog

from service_kit.data.connections import ConnectionSource, WatchedConnection

LOOK_SECONDS = 1.0
VOUCHED_SECONDS = 5.0
UNANSWERED_SECONDS = 5.0
"""Wait this much longer than the statement timeout for a reply; the server ends the statement before."""

SETTLE_SECONDS = 0.2
"""How long a reply may take to arrive if it was on its way during the question."""

# If a session waits for its client while the client waits for it, the statement was lost. Behind a pooler the
# process ids belong to the pooler, so the sessions are unknown: all count as working.
_WORKING = """
SELECT pid FROM unnest($1::int[]) AS pid
WHERE pg_backend_pid() <> $2
   OR EXISTS (SELECT 1 FROM pg_stat_activity AS session
              WHERE session.pid = pid.pid AND application_name = current_setting('application_name')
                AND coalesce(state, '') NOT LIKE 'idle%' AND wait_event IS DISTINCT FROM 'ClientRead')
"""
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY($1::int[]) AND usename = current_user
  AND application_name = current_setting('application_name')
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a reply, in seconds."""

    before_asking: float
    """After this time, ask the server whether it works on the statement."""
    for_the_answer: float
    """The server must answer within this time, including the time to connect."""
    between_looks: float = LOOK_SECONDS
    """The watch looks this often for statements that have waited for too long."""
    after_the_timeout: float = UNANSWERED_SECONDS
    """Wait this much longer than the statement timeout for a reply."""


PRIMARY_PATIENCE = Patience(before_asking=4.0, for_the_answer=3.0)
"""Together with LOOK_SECONDS this is 8 s; a silent peer must be given up within 10 s."""

REPLICA_PATIENCE = Patience(before_asking=1.5, for_the_answer=1.0)
"""The primary has the same data, so a read need not wait long for the replica."""


class SilenceWatch:
    """Breaks the connections of a pool that will get no reply. Start it with `start`, end it with `stop`."""

    def __init__(
        self, pool: asyncpg.Pool, source: ConnectionSource, patience: Patience, max_wait_seconds: float
    ) -> None:
        """Break a connection after `max_wait_seconds` even if the server works on its statement."""
        self._pool = pool
        self._source = source
        self._patience = patience
        self._max_wait_seconds = max_wait_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look every `patience.between_looks` seconds from now on."""
        self._task = asyncio.create_task(self._run(), name="silence watch")

    async def stop(self) -> None:
        """Look no more. May be repeated."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._patience.between_looks)
            try:
                await self.look()
            except Exception as error:
                log.error("silence_watch_failed", exc_info=error)

    async def look(self) -> None:
        """Break every connection whose statement waits for a reply that will not come."""
        now = time.monotonic()
        suspects = {
            connection: connection.waiting_since
            for connection in self._source.waiting(now - self._patience.before_asking)
            if connection.vouched_until <= now
        }
        if not suspects:
            return
        probe = None
        try:
            async with asyncio.timeout(self._patience.for_the_answer):
                probe = await self._source.open_apart()
                working = await _working_on(suspects, probe)
        except asyncpg.InsufficientResourcesError:  # the server answers, but has no connection to spare
            working = {connection.get_server_pid() for connection in suspects}
            await self._give_up([each for each in suspects if not self._vouch(each, working)], None)
        except Exception as error:
            log.warning("database_silent", address=self._source.where.redacted, error=repr(error))
            await self._give_up(_still_waiting(suspects), None)
        else:
            await asyncio.sleep(SETTLE_SECONDS)
            silent = [each for each in _still_waiting(suspects) if not self._vouch(each, working)]
            await self._give_up(silent, probe)
        finally:
            if probe is not None:
                probe.terminate()

    def _vouch(self, connection: WatchedConnection, working: Collection[int]) -> bool:
        """Return whether to wait on: the server works on the statement, and its time is not over."""
        now = time.monotonic()
        waited = now - (connection.waiting_since or now)
        if connection.get_server_pid() not in working or waited > self._max_wait_seconds:
            return False
        connection.vouched_until = now + VOUCHED_SECONDS
        return True

    async def _give_up(self, silent: list[WatchedConnection], probe: WatchedConnection | None) -> None:
        if not silent:
            return
        pids = [connection.get_server_pid() for connection in silent]
        log.warning("silent_connections_broken", address=self._source.where.redacted, server_pids=pids)
        for connection in silent:
            connection.terminate()
        await self._pool.expire_connections()
        if probe is not None:
            async with asyncio.timeout(self._patience.for_the_answer):
                await probe.execute(_END_SESSIONS, pids)


async def _working_on(suspects: Collection[WatchedConnection], probe: WatchedConnection) -> set[int]:
    """Return the process ids of the sessions that the server works for."""
    pids = [connection.get_server_pid() for connection in suspects]
    return {row[0] for row in await probe.fetch(_WORKING, pids, probe.get_server_pid())}


def _still_waiting(suspects: Mapping[WatchedConnection, float | None]) -> list[WatchedConnection]:
    """Return the connections that wait for the reply to the same statement as before."""
    return [connection for connection, since in suspects.items() if connection.waiting_since == since]
