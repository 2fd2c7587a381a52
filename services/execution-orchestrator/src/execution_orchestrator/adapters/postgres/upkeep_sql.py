"""The statements of the duties: the replicas, the outages of the engine, old request ids."""

from execution_orchestrator.application.ports.upkeep_store import OUTAGE_AFTER

MAX_OUTAGES = 1_000
"""The newest outages are kept. A job that waited through more gets only the time of these back."""

_AWAY = f"interval '{OUTAGE_AFTER.total_seconds():g} s'"

# Record that a replica is there, and return its share of the timers. If all replicas were away, record the
# outage. # A time in the future was written by a server whose clock was ahead, so it says nothing about now.
# All parts see the tables as they were before. If several replicas return at the same time, all of them
# compute the same start of the outage: the first one inserts it, the others wait for its commit and get the
# row that it wrote.
BEAT = f"""
WITH live AS (
    SELECT replica_id FROM orchestrators
    WHERE NOT stopped AND seen_time > statement_timestamp() - {_AWAY}
    AND seen_time < statement_timestamp() + {_AWAY}
), last AS (
    SELECT max(seen_time) AS time FROM orchestrators WHERE seen_time < statement_timestamp()
), outage AS (
    INSERT INTO outages (start_time, end_time)
    SELECT time, statement_timestamp() FROM last WHERE time IS NOT NULL AND NOT EXISTS (SELECT FROM live)
    ON CONFLICT (start_time) DO UPDATE SET start_time = excluded.start_time
    RETURNING start_time, end_time
), forgotten_outages AS (
    DELETE FROM outages WHERE EXISTS (SELECT FROM outage)
    AND start_time < (SELECT start_time FROM outages ORDER BY start_time DESC OFFSET {MAX_OUTAGES} LIMIT 1)
), beat AS (
    INSERT INTO orchestrators (replica_id, seen_time, stopped) VALUES ($1, statement_timestamp(), false)
    ON CONFLICT (replica_id) DO UPDATE SET seen_time = excluded.seen_time, stopped = false
), gone AS (
    DELETE FROM orchestrators WHERE replica_id <> $1 AND seen_time < statement_timestamp() - interval '1 hour'
)
SELECT clock_timestamp() AS now,
       pg_postmaster_start_time() AS server_start,
       coalesce((SELECT end_time FROM outage),
                (SELECT end_time FROM outages ORDER BY start_time DESC LIMIT 1)) AS outage_end,
       (SELECT end_time - start_time FROM outage) AS new_outage,
       (SELECT count(*) FROM live WHERE replica_id < $1) AS before,
       (SELECT count(*) FROM live WHERE replica_id <> $1) AS others
"""

# Record that a replica has stopped, so that the others take its share at once.
LEAVE = "UPDATE orchestrators SET stopped = true, seen_time = clock_timestamp() WHERE replica_id = $1"

# Move the deadlines of due jobs that waited through an outage, as `give_time_back` of domain/rules/bulk.py
# does. # A job that has been READY since before the end of the newest outage has not got its time back yet.
# The statement sets its ready_time to that end, so it may be repeated, by several replicas. It never touches
# a job that is claimed before its time is over. It leaves rows that a command or another replica has locked
# for the next time.
GIVE_TIME_BACK = """
WITH due AS (
    SELECT execution_id, task_id, item, wake_time, ready_time FROM task_runs
    WHERE wake_time <= statement_timestamp() AND status = 'READY' AND ready_time < $2::timestamptz
    ORDER BY wake_time LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE task_runs t
SET wake_time = greatest(due.wake_time + lost.span, $2::timestamptz + $3::interval),
    ready_time = $2::timestamptz
FROM due CROSS JOIN LATERAL (
    SELECT sum(o.end_time - greatest(o.start_time, due.ready_time)) AS span FROM outages o
    WHERE o.start_time < $2::timestamptz AND o.end_time > due.ready_time
) lost
WHERE t.execution_id = due.execution_id AND t.task_id = due.task_id AND t.item = due.item
"""

# Delete a page of the request ids that are too old for a repeat.
FORGET_REQUEST_IDS = """
DELETE FROM request_ids WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM request_ids WHERE create_time < statement_timestamp() - $2::interval
    ORDER BY create_time LIMIT $1 FOR UPDATE SKIP LOCKED
))
"""
