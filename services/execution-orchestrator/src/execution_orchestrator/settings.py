"""The settings of the orchestrator. `python -m execution_orchestrator config` prints them."""

from datetime import timedelta
from typing import Self

from pydantic import model_validator
from service_kit.process.addresses import PeerAddress
from service_kit.process.settings import (
    CallSettings,
    ConnectionAgeSettings,
    DatabaseSettings,
    LogSettings,
    RedisSettings,
    ServerSettings,
    setting,
)


class OrchestratorSettings(
    DatabaseSettings, RedisSettings, ServerSettings, CallSettings, ConnectionAgeSettings, LogSettings
):
    """Every setting of the orchestrator."""

    catalog_address: PeerAddress = setting(
        "127.0.0.1:7011", "the catalog's gRPC address: `host:port` or `dns:///name:port`"
    )
    queue_timeout: float = setting(
        300.0, "seconds a job may wait in the queue: the default schedule_to_start", ge=0.1, le=31_536_000
    )
    retry_attempts: int = setting(
        3, "retries after the first attempt, where a task does not say", ge=0, le=999
    )
    lease_ttl: float = setting(30.0, "seconds a worker keeps a task without a sign of life", ge=1, le=3_600)
    pipeline_lanes: int = setting(
        1,
        "transactions under way at the same time; one makes the largest batches, so the least work for each",
        ge=1,
        le=64,
    )

    @model_validator(mode="after")
    def _a_lane_never_waits_for_a_connection(self) -> Self:
        """Refuse as many lanes as connections. A lane holds one, and tokens and definitions need another
        one.
        """
        if self.pipeline_lanes >= self.database_pool_size:
            raise ValueError(
                f"PIPELINE_LANES ({self.pipeline_lanes}) must be less than WORKFLOW_DATABASE_POOL_SIZE "
                f"({self.database_pool_size}): set one of them"
            )
        return self

    @property
    def lease_span(self) -> timedelta:
        """LEASE_TTL."""
        return timedelta(seconds=self.lease_ttl)

    @property
    def queue_span(self) -> timedelta:
        """QUEUE_TIMEOUT."""
        return timedelta(seconds=self.queue_timeout)
