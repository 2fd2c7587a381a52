"""The settings and the ports of the embedded stack."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator
from service_kit.process.connection_string import ConnectionString, RedisAddress
from service_kit.process.settings import Settings, setting
from service_kit.tools.word_lists import ModuleList, NameList, words

from embedded_stack.modules import can_be_found
from embedded_stack.ports import free_ports, require_free


@dataclass(frozen=True, slots=True)
class Stores:
    """The databases and the Redis that the services use, as URLs."""

    default_connection: str = field(repr=False)
    read_only_connection: str = field(repr=False)
    redis: str = field(repr=False)


DEFAULT_WORKERS = 2
DEFAULT_GATEWAY_PORT = 7010
"""The port that clients use by default."""
EXAMPLE_HANDLERS = "examples.code_census.handlers"
"""The modules that the workers load if WORKER_MODULES is unset and Python finds the examples."""


def port(default: int, meaning: str) -> Any:
    """Declare the setting of a port."""
    return setting(default, f"port of {meaning}", ge=1, le=65_535)


class StackSettings(Settings):
    """The settings that `python -m embedded_stack` reads from the environment."""

    workflow_data_dir: Path = setting(Path(".data"), "directory of the stack's data and logs")
    workflow_gateway_port: int = port(DEFAULT_GATEWAY_PORT, "the gateway's gRPC")
    workflow_http_port: int = port(7080, "the gateway's HTTP")
    workflow_catalog_port: int = port(7011, "the catalog's gRPC")
    workflow_catalog_http_port: int = port(7081, "the catalog's health and metrics")
    workflow_orchestrator_port: int = port(7012, "the orchestrator's gRPC")
    workflow_orchestrator_http_port: int = port(7082, "the orchestrator's health and metrics")
    workflow_worker_port: int = port(7091, "the first worker's health and metrics; the others follow")
    workflow_postgres_port: int = port(7432, "the PostgreSQL primary")
    workflow_replica_port: int = port(7433, "the PostgreSQL replica")
    workflow_redis_port: int = port(7379, "the Redis-compatible server")
    workers: int | None = setting(
        None,
        "workers at the start, and the smallest number of workers; unset: 2, or MAX_WORKERS if less",
        prefixed=True,
        ge=0,
        le=1000,
    )
    max_workers: int = setting(10, "the largest number of workers", ge=1, le=1000)
    jobs_per_worker: int = setting(100, "waiting jobs for each worker", prefixed=True, ge=1, le=1_000_000)
    queues: NameList = setting(
        "", "the queues that the workers serve, separated by commas; unset: the default queue", prefixed=True
    )
    shutdown_grace: float = setting(10.0, "seconds for work in flight when the stack stops", ge=0, le=3600)
    worker_modules: ModuleList | None = setting(
        None, "Python modules with task handlers, separated by commas"
    )
    default_connection: ConnectionString | None = setting(
        None,
        "your own PostgreSQL, instead of the embedded one",
        aliases=("DATABASE_URL",),
        connection=True,
    )
    read_only_connection: ConnectionString | None = setting(
        None,
        "the replica of your PostgreSQL for reads; unset: the primary",
        aliases=("DATABASE_REPLICA_URL",),
        connection=True,
    )
    redis: RedisAddress | None = setting(
        None, "your own Redis, instead of Valkey", aliases=("REDIS_URL",), connection=True
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.fewest_workers > self.max_workers:
            raise ValueError(
                f"WORKFLOW_WORKERS ({self.workers}) exceeds MAX_WORKERS ({self.max_workers}): lower it"
            )
        if (self.default_connection is None) != (self.redis is None):
            raise ValueError("set both DEFAULT_CONNECTION and REDIS to use your own servers, or neither")
        return self

    @property
    def fewest_workers(self) -> int:
        """The value of WORKFLOW_WORKERS, or its default."""
        return min(DEFAULT_WORKERS, self.max_workers) if self.workers is None else self.workers

    @property
    def served_queues(self) -> list[str]:
        """The names in WORKFLOW_QUEUES."""
        return words(self.queues)

    @property
    def own_stores(self) -> Stores | None:
        """The user's own servers, or None for the embedded ones."""
        if self.default_connection is None or self.redis is None:
            return None
        primary = self.default_connection.asyncpg_dsn
        replica = self.read_only_connection.asyncpg_dsn if self.read_only_connection else primary
        return Stores(primary, replica, self.redis.url)

    @property
    def handler_modules(self) -> str:
        """The modules that the workers load: WORKER_MODULES, or else the example if it can be imported."""
        if self.worker_modules is not None:
            return self.worker_modules
        return importable(EXAMPLE_HANDLERS)


def importable(module: str) -> str:
    """Return the name of a module if Python finds it, else an empty text."""
    return module if can_be_found(module) else ""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack, on the loopback address."""

    gateway: int
    http: int
    catalog: int
    catalog_http: int
    orchestrator: int
    orchestrator_http: int
    postgres: int
    replica: int
    redis: int
    first_worker_http: int | None
    """None means any free port for each worker."""

    @classmethod
    def of(cls, settings: StackSettings) -> Self:
        """Return the configured ports."""
        return cls(
            gateway=settings.workflow_gateway_port,
            http=settings.workflow_http_port,
            catalog=settings.workflow_catalog_port,
            catalog_http=settings.workflow_catalog_http_port,
            orchestrator=settings.workflow_orchestrator_port,
            orchestrator_http=settings.workflow_orchestrator_http_port,
            postgres=settings.workflow_postgres_port,
            replica=settings.workflow_replica_port,
            redis=settings.workflow_redis_port,
            first_worker_http=settings.workflow_worker_port,
        )

    @classmethod
    def ephemeral(cls) -> Self:
        """Return ports that are free now."""
        names = [each.name for each in fields(cls) if each.name != "first_worker_http"]
        return cls(**dict(zip(names, free_ports(len(names)), strict=True)), first_worker_http=None)

    def require_free(self) -> None:
        """Raise PortTakenError for the first port of a service that another program uses.

        The servers check their ports when they start.
        """
        require_free(self.gateway, "WORKFLOW_GATEWAY_PORT")
        require_free(self.http, "WORKFLOW_HTTP_PORT")
        require_free(self.catalog, "WORKFLOW_CATALOG_PORT")
        require_free(self.catalog_http, "WORKFLOW_CATALOG_HTTP_PORT")
        require_free(self.orchestrator, "WORKFLOW_ORCHESTRATOR_PORT")
        require_free(self.orchestrator_http, "WORKFLOW_ORCHESTRATOR_HTTP_PORT")
