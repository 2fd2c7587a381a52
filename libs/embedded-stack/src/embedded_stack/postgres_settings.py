"""The settings of the embedded PostgreSQL servers, for primary and replica."""

_COMMON = {
    "listen_addresses": "127.0.0.1",
    # A hot standby refuses to start with fewer connections than its primary.
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    # The queries are short, so compiling them or distributing them over processes only adds cost.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "random_page_cost": "1.1",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "max_replication_slots": "5",
    # The bundled build has neither lz4 nor zstd, and pglz takes too much processor time for the saved bytes.
    "wal_compression": "off",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # If a replica is away for long, copy it again instead of filling the disk with WAL.
    "max_slot_wal_keep_size": "1GB",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s",
    # Connect to a restarted primary at once, and not after five seconds.
    "wal_retrieve_retry_interval": "200ms",
    "synchronous_commit": "on",
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "cluster_name": "workflow",
}

_UNSAFE = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
}


def postgres_arguments(*, fsync: bool, extra: dict[str, str]) -> list[str]:
    """Return the settings for the command line.

    Without fsync, a crash of the machine loses data: for tests.
    """
    settings = {**_COMMON, **({} if fsync else _UNSAFE), **extra}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
