"""The cost of an execution in units without noise: commits, statements, bytes, messages, CPU."""

import asyncio
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from benchmarks.figures import Figure
from benchmarks.processes import cpu_seconds

CLIENT = "client"
SCRAPE_TIMEOUT_SECONDS = 5.0
WAL_BYTES = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The values of growing counters at one moment."""

    counts: Mapping[str, float]
    cpu_seconds: Mapping[str, float]

    def per_execution(self, before: "Snapshot", executions: int) -> dict[str, Figure]:
        """Return the cost of each execution between the two moments."""
        costs: dict[str, Figure] = {
            f"{name}_per_execution": (self.counts[name] - before.counts.get(name, 0.0)) / executions
            for name in self.counts
        }
        spent = {
            name: (seconds - before.cpu_seconds.get(name, 0.0)) * 1e3 / executions
            for name, seconds in self.cpu_seconds.items()
        }
        costs["cpu_ms_per_execution"] = sum(spent.values()) if spent else None
        costs |= {f"cpu_{name}_ms_per_execution": value for name, value in spent.items()}
        return costs


@dataclass(frozen=True, slots=True)
class Probe:
    """The sources of the counters."""

    database: asyncpg.Connection
    redis: Redis
    metrics_urls: tuple[str, ...]
    """The metrics of every service; orchestrator and catalog count statements and commits too."""
    pids: Mapping[str, int]

    async def snapshot(self) -> Snapshot:
        """Read all counters."""
        used = cpu_seconds({**self.pids, CLIENT: os.getpid()}, alone=frozenset({CLIENT}))
        pages = await asyncio.gather(*(asyncio.to_thread(_scrape, url) for url in self.metrics_urls))
        counts = {
            "commits": sum(total(page, "benchmark_commits") for page in pages),
            "statements": sum(total(page, "benchmark_statements") for page in pages),
            "wal_bytes": float(await self.database.fetchval(WAL_BYTES)),
            "redis_commands": float((await self.redis.info("stats"))["total_commands_processed"]),
            "grpc_messages": sum(map(messages, pages)),
        }
        return Snapshot(counts, used)


def _scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_SECONDS) as response:
        text: str = response.read().decode()
    return text


def total(page: str, family: str) -> float:
    return sum(
        sample.value
        for each in text_string_to_metric_families(page)
        if each.name == family
        for sample in each.samples
        if sample.name == f"{family}_total"
    )


def messages(page: str) -> float:
    """Return the messages that servers received and sent. Their clients do not count them again."""
    return total(page, "grpc_server_msg_received") + total(page, "grpc_server_msg_sent")
