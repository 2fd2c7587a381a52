"""The statements of leases.

A heartbeat first locks the row of its worker process, and only then reads and writes claims. The mark of the
process as ended locks the same row. So a claim is either confirmed before the mark, and the replica that
loses the claims of the process finds it; or it keeps its own lease. No claim is confirmed while its process
is marked.
"""

# `TaskRun.confirmed` of the domain.
_CONFIRMED = "t.status = 'RUNNING' AND t.boot_id IS NOT NULL AND t.lease_expire_time IS NULL"
_SILENCE = "CASE WHEN h.handler_alive THEN h.now + t.heartbeat_timeout ELSE t.silence_time END"
_LEASE = "CASE WHEN NOT h.covered THEN h.now + $1::interval END"

_RENEWED_BOOT = """
INSERT INTO worker_boots AS b (namespace, boot_id, worker_id, lease_expire_time)
VALUES ($8, $9, $10, clock_timestamp() + $1::interval)
ON CONFLICT (namespace, boot_id) DO UPDATE SET lease_expire_time =
    CASE WHEN b.reap_time IS NULL THEN excluded.lease_expire_time ELSE b.lease_expire_time END
RETURNING b.reap_time IS NULL AS lives"""
_NO_BOOT = "SELECT false AS lives"


def _renew(boot: str, *, covered: str, visible: str) -> str:
    """Return the statement that renews claims, as `renew_claim` of domain/rules/bulk.py does for each.

    With a living boot it writes only claims with news, so it only reads most claims. If another transaction
    has locked a task run, the news of its claim waits for the next heartbeat: the worker's other claims must
    not wait for that lock.
    """
    return f"""
WITH boot AS ({boot}), held AS MATERIALIZED (
    SELECT t.execution_id, t.task_id, t.item, t.epoch, q.token, e.cancel_deadline, clock_timestamp() AS now,
           q.handler_alive, q.progress, {covered} AS covered,
           NOT {covered} OR t.lease_expire_time IS NOT NULL OR q.progress IS NOT NULL
               OR (q.handler_alive AND t.heartbeat_timeout IS NOT NULL) AS has_news
    FROM boot, unnest($2::uuid[], $3::text[], $4::integer[], $5::bigint[], $6::bytea[], $7::boolean[],
                      $11::json[]) AS q(execution_id, task_id, item, epoch, token, handler_alive, progress)
    JOIN task_runs t ON t.execution_id = q.execution_id AND t.task_id = q.task_id AND t.item = q.item
    JOIN executions e ON e.id = t.execution_id
    WHERE t.epoch = q.epoch AND coalesce(t.claim_token, '') = q.token
    AND t.status = 'RUNNING' AND t.boot_id IS NOT NULL AND {visible}
), free AS MATERIALIZED (
    SELECT t.execution_id, t.task_id, t.item FROM held h JOIN task_runs t
        ON t.execution_id = h.execution_id AND t.task_id = h.task_id AND t.item = h.item
    WHERE h.has_news FOR UPDATE OF t SKIP LOCKED
), renewed AS (
    UPDATE task_runs t SET lease_expire_time = {_LEASE}, silence_time = {_SILENCE},
        wake_time = CASE WHEN t.frozen IS NULL THEN least({_LEASE}, t.close_time, {_SILENCE}) END,
        progress = coalesce(h.progress, t.progress)
    FROM held h JOIN free USING (execution_id, task_id, item)
    WHERE t.execution_id = h.execution_id AND t.task_id = h.task_id AND t.item = h.item
    AND t.epoch = h.epoch AND t.status = 'RUNNING' AND t.boot_id IS NOT NULL
    RETURNING t.execution_id, t.task_id, t.item, t.epoch, h.token, h.cancel_deadline
)
SELECT execution_id, task_id, item, epoch, token, cancel_deadline FROM held h WHERE NOT EXISTS (
    SELECT FROM free f WHERE f.execution_id = h.execution_id AND f.task_id = h.task_id AND f.item = h.item
)
UNION ALL SELECT * FROM renewed"""


# Renew the lease of a worker process, and confirm the claims that it names. Renew claims of other processes
# alone.
RENEW_BOOT = _renew(
    _RENEWED_BOOT,
    covered="(boot.lives AND t.boot_id = $9)",
    visible="t.namespace = $8",
)
# Renew each claim alone, for workers without a session.
RENEW_CLAIMS = _renew(_NO_BOOT, covered="boot.lives", visible="true").replace("$11", "$8")

# Mark processes whose lease has expired as ended, and return them; also those that were marked long ago.
END_BOOTS = """
UPDATE worker_boots b SET reap_time = clock_timestamp()
FROM (
    SELECT namespace, boot_id FROM worker_boots
    WHERE CASE WHEN reap_time IS NULL THEN lease_expire_time < clock_timestamp()
               ELSE reap_time < clock_timestamp() - $2::interval END
    ORDER BY coalesce(reap_time, lease_expire_time) LIMIT $1 FOR UPDATE SKIP LOCKED
) q
WHERE b.namespace = q.namespace AND b.boot_id = q.boot_id
RETURNING b.namespace, b.boot_id, b.worker_id, b.lease_expire_time"""

# Return a page of the confirmed claims of a process, for the rule `lose_claim`.
CLAIMS_OF_BOOT = f"""
SELECT t.execution_id, t.task_id, t.item, t.epoch FROM task_runs t
WHERE t.boot_id = $1 AND {_CONFIRMED} AND t.namespace = $2
AND (t.execution_id, t.task_id, t.item) > ($3::uuid, $4, $5::integer)
ORDER BY t.execution_id, t.task_id, t.item LIMIT $6"""

# Delete a process that is marked as ended, once it has no confirmed claim left.
FORGET_BOOT = f"""
DELETE FROM worker_boots b WHERE b.namespace = $1 AND b.boot_id = $2 AND b.reap_time IS NOT NULL
AND NOT EXISTS (SELECT FROM task_runs t WHERE t.boot_id = $2 AND {_CONFIRMED} AND t.namespace = $1)
RETURNING true"""

# Return which start of which primary answers. A promoted standby has another start time, or at least another
# timeline.
PRIMARY = """
SELECT CASE WHEN NOT pg_is_in_recovery()
    THEN pg_postmaster_start_time()::text || ' ' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
END"""
