"""Puts the service together, runs it, and takes it apart in good order."""

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from redis.asyncio import Redis
from service_kit.data import postgres
from service_kit.data import redis as redis_kit
from service_kit.data.postgres import Database
from service_kit.process.health import HealthChecks, feed_grpc_health
from service_kit.process.http import HttpServer, make_app
from service_kit.rpc.channel import connect as connect_channel
from service_kit.rpc.rpc_metrics import RpcMetrics
from service_kit.rpc.server import GrpcServer, Registration, ServerLimits
from service_kit.rpc.stream_age import StreamAge
from service_kit.tools.backoff import Backoff
from service_kit.tools.clock import Clock, SystemClock
from service_kit.tools.heavy import SWITCH_SECONDS
from service_kit.tools.tasks import cancel_all
from workflow_contract.doorbell import Ring
from workflow_schemas.process import SchemaProcess
from workflowsystem.execution.v1 import execution_service_pb2, execution_service_pb2_grpc
from workflowsystem.worker.v1 import worker_service_pb2, worker_service_pb2_grpc

from execution_orchestrator.adapters.catalog_client import CatalogClient
from execution_orchestrator.adapters.plan_compiler import PlanCompiler, task_types_of
from execution_orchestrator.adapters.postgres.lease_store import PostgresLeaseStore
from execution_orchestrator.adapters.postgres.migrate import upgrade_async
from execution_orchestrator.adapters.postgres.reads import PostgresReads
from execution_orchestrator.adapters.postgres.schema import SCHEMA
from execution_orchestrator.adapters.postgres.store import PostgresStore
from execution_orchestrator.adapters.postgres.store_sql import SESSION_SETTINGS
from execution_orchestrator.adapters.postgres.upkeep_store import PostgresUpkeepStore
from execution_orchestrator.adapters.redis.doorbell import RedisDoorbell
from execution_orchestrator.adapters.redis.lock import RedisLock
from execution_orchestrator.adapters.redis.queue import RedisQueue
from execution_orchestrator.adapters.redis.task_type_board import RedisTaskTypeBoard
from execution_orchestrator.adapters.redis.worker_board import RedisWorkerBoard
from execution_orchestrator.application.engine.database_clock import DatabaseClock
from execution_orchestrator.application.engine.notifier import Notifier
from execution_orchestrator.application.engine.pipeline import Pipeline
from execution_orchestrator.application.engine.plans import Plans
from execution_orchestrator.application.starting.input_schema import InputChecks
from execution_orchestrator.application.starting.known_task_types import TaskTypes
from execution_orchestrator.application.starting.starts import Starts
from execution_orchestrator.application.upkeep import metrics
from execution_orchestrator.application.upkeep.expiry import Expiry
from execution_orchestrator.application.upkeep.reachability import Reachability
from execution_orchestrator.application.upkeep.readiness import Readiness
from execution_orchestrator.application.upkeep.reaper import Reaper
from execution_orchestrator.application.upkeep.replicas import Replicas
from execution_orchestrator.application.upkeep.sweep import Sweep
from execution_orchestrator.application.upkeep.timers import Timers
from execution_orchestrator.application.watching.usage import Usage
from execution_orchestrator.application.watching.waiters import Waiters
from execution_orchestrator.application.workers.cancels import Cancels
from execution_orchestrator.application.workers.connected_workers import ConnectedWorkers
from execution_orchestrator.application.workers.dispatcher import Dispatcher
from execution_orchestrator.application.workers.leases import Leases
from execution_orchestrator.application.workers.live_task_types import LiveTaskTypes
from execution_orchestrator.application.workers.roster import Roster
from execution_orchestrator.application.workers.worker_list import WorkerList
from execution_orchestrator.entrypoints.error_map import map_error
from execution_orchestrator.entrypoints.execution_servicer import ExecutionServicer
from execution_orchestrator.entrypoints.mutations import Mutations
from execution_orchestrator.entrypoints.reads import UNCHECKED_READS, Reads
from execution_orchestrator.entrypoints.worker_servicer import UNCHECKED_METHODS, WorkerServicer
from execution_orchestrator.settings import OrchestratorSettings
from execution_orchestrator.tuning import USUAL_TUNING, Tuning

SERVICE_NAME = "execution-orchestrator"

Duty = Callable[[], Awaitable[None]]
"""What runs on every replica, always."""
HEALTHY_SECONDS = 30.0
"""After a duty ran for this long, its next failure counts as the first one."""
SYSTEM_CLOCK = SystemClock()

log = structlog.get_logger(__name__)


class Orchestrator:
    """Everything that the service is made of, wired together; nothing runs yet."""

    def __init__(
        self,
        settings: OrchestratorSettings,
        database: Database,
        client: Redis,
        catalog: CatalogClient,
        clock: Clock,
        tuning: Tuning = USUAL_TUNING,
    ) -> None:
        ttl = settings.lease_span
        self.queue = RedisQueue(client)
        self.doorbell = RedisDoorbell(client)
        self.store = PostgresStore(database.primary, tuning.fan_out_output_bytes)
        self.duty_store = PostgresStore(database.duties)  # waits for no connection of the pipeline
        lease_store = PostgresLeaseStore(database.duties)
        self.clock = DatabaseClock(clock)
        self.reachability = Reachability(lease_store, clock, ttl)
        self.roster = Roster()
        self.notifier = Notifier(self.queue, self.doorbell, self.roster.pushed)
        self.inputs, self.outputs = SchemaProcess(), SchemaProcess()
        compiler = PlanCompiler(
            settings.queue_span, settings.retry_attempts, inputs=self.inputs, outputs=self.outputs
        )
        self.plans = plans = Plans(self.store, compiler, max_bytes=tuning.plan_bytes)
        self.reads = PostgresReads(database)
        self.waiters = Waiters(self.reads)
        self.cancels = Cancels(self.store, self.roster, self.clock)
        self.pipeline = Pipeline(
            self.store,
            plans,
            self.notifier,
            self.clock,
            self.roster,
            after_commit=[self.waiters.committed, self.cancels.committed, metrics.observe],
            lease_ttl=ttl,
            lanes=settings.pipeline_lanes,
            max_tries=tuning.commit_tries,
            quarantine_pause_seconds=tuning.quarantine_pause_seconds,
        )
        self.dispatcher = Dispatcher(
            self.queue, self.store, self.pipeline, self.roster, ttl, tuning.dispatcher
        )
        task_types = TaskTypes(self.store)
        starts = Starts(catalog, self.store, plans, task_types, self.pipeline, InputChecks())
        self.live_types = LiveTaskTypes(
            RedisTaskTypeBoard(client),
            self.roster,
            trust_seconds=tuning.live_types_trust_seconds,
            refresh_seconds=tuning.live_types_refresh_seconds,
        )
        usage = Usage(self.reads, plans, self.live_types, task_types_of, tuning.usage_type_bytes)
        replica_id = uuid4()
        board = RedisWorkerBoard(client)
        name = f"{socket.gethostname()}/{replica_id.hex[:8]}"
        self.connected = ConnectedWorkers(board, clock, name, tuning.connected_workers)
        self.executions = ExecutionServicer(
            Mutations(starts, self.pipeline),
            Reads(self.reads, self.queue, self.waiters, usage, WorkerList(board)),
        )
        leases = Leases(lease_store, self.pipeline, self.clock, clock, ttl)
        self.age = StreamAge(settings.connection_max_age, random.uniform)
        self.workers = WorkerServicer(
            self.roster,
            leases,
            task_types,
            self.live_types,
            self.connected,
            self.age.next_stream_seconds,
            tuning.sessions,
        )
        self.upkeep = PostgresUpkeepStore(database.duties, tuning.reconnect_grace)
        self.replicas = Replicas(self.upkeep, self.clock, replica_id)
        self.timers = Timers(self.upkeep, self.pipeline, self.replicas, self.reachability, ttl, tuning.timers)
        self.expiry = Expiry(self.upkeep, self.replicas, tuning.expiry_seconds)
        self.reaper = Reaper(lease_store, self.pipeline, self.reachability, tuning.take_over_after)
        # Not "sweep": the release before, which does not know the orders of the kinds, leads that duty.
        lock = RedisLock(client, "queue-sweep")
        self.sweep = Sweep(self.duty_store, self.queue, lock, self.roster.pushed, tuning.sweep)
        self.readiness = Readiness(
            self.pipeline, self.timers, self.sweep, self.dispatcher, self.waiters, tuning.readiness
        )

    def _heard(self, rings: Sequence[Ring]) -> None:
        """Another replica has committed."""
        self.waiters.ring(rings)
        self.roster.pushed()
        self.cancels.check([ring.execution_id for ring in rings if ring.workers_must_check])

    def _missed(self) -> None:
        """Rings may have been missed."""
        self.waiters.ring_all()
        self.roster.pushed()

    def registrations(self) -> list[Registration]:
        """The gRPC services."""
        executions = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
        add_executions = execution_service_pb2_grpc.add_ExecutionServiceServicer_to_server
        workers = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"]
        add_workers = worker_service_pb2_grpc.add_WorkerServiceServicer_to_server
        return [
            Registration.of(self.executions, executions, add_executions),
            Registration.of(self.workers, workers, add_workers),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loops; in the end finish what was accepted."""
        self.clock.sync(await self.store.now())
        duties: dict[str, Duty] = {
            "dispatcher": self.dispatcher.run,
            "reachability": self.reachability.run,
            "replicas": self.replicas.run,
            "timers": self.timers.run,
            "reaper": self.reaper.run,
            "sweep": self.sweep.run,
            "expiry of request ids": self.expiry.run,
            "doorbell": partial(self.doorbell.listen, self._heard, self._missed),
            "waiters": self.waiters.run,
            "live task types": self.live_types.run,
            "connected workers": self.connected.run,
            "queue gauges": partial(metrics.watch_queues, self.queue),
        }
        loops = [asyncio.create_task(_always(name, duty), name=name) for name, duty in duties.items()]
        try:
            yield
        finally:
            await cancel_all(loops)
            await self.sweep.close()
            await self.pipeline.close()
            await self.replicas.leave()
            await self.connected.leave()
            await self.notifier.close()
            await asyncio.to_thread(self.inputs.close)
            await asyncio.to_thread(self.outputs.close)


async def _always(name: str, duty: Duty, clock: Clock = SYSTEM_CLOCK, backoff: Backoff | None = None) -> None:
    """Run a duty until cancelled, and begin it again if it fails, because nobody else does it.

    The wait grows with each failure. It is short again after the duty ran for HEALTHY_SECONDS.
    """
    backoff = backoff or Backoff(first_seconds=0.1, max_seconds=5.0)
    while True:
        began = clock.monotonic()
        try:
            await duty()
        except Exception as error:
            log.error("duty_failed", duty=name, exc_info=error)
        if clock.monotonic() - began >= HEALTHY_SECONDS:
            backoff.reset()
        await clock.sleep(backoff.next())


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that runs, and where it listens."""

    orchestrator: Orchestrator
    grpc_port: int
    http_port: int


@asynccontextmanager
async def serving(
    settings: OrchestratorSettings,
    *,
    registry: CollectorRegistry = REGISTRY,
    clock: Clock | None = None,
    tuning: Tuning = USUAL_TUNING,
) -> AsyncIterator[Serving]:
    """The service for as long as the block lasts; then it drains and stops. Raises what keeps it from
    starting.

    A process that runs more than one gives each a registry of its own for the metrics of its server. `clock`
    is the process's; it never decides what is due.
    """
    async with AsyncExitStack() as resources:
        database = await postgres.connect(
            settings,
            application_name=SERVICE_NAME,
            session=SESSION_SETTINGS,
            patience=tuning.database_patience,
            slow_read_seconds=tuning.slow_read_seconds,
        )
        resources.push_async_callback(database.close)
        client = redis_kit.connect(settings.redis, client_name=SERVICE_NAME)
        resources.push_async_callback(client.aclose)
        channel = connect_channel(settings.catalog_address)
        resources.push_async_callback(channel.close)
        catalog = CatalogClient(channel, tuning.catalog_timeout_seconds)
        parts = (settings, database, client, catalog, clock or SystemClock())
        orchestrator = Orchestrator(*parts, tuning)
        await resources.enter_async_context(orchestrator.running())
        checks = _checks(database, orchestrator.readiness)
        http = HttpServer(settings.http_listen, make_app(checks))
        await http.start()
        resources.push_async_callback(http.stop)
        server = _grpc_server(settings, orchestrator, RpcMetrics(registry))
        await server.start()
        resources.push_async_callback(server.stop, settings.shutdown_grace)
        feed = asyncio.create_task(feed_grpc_health(checks, server))
        resources.callback(feed.cancel)
        yield Serving(orchestrator, server.port, http.port)


def _checks(database: Database, readiness: Readiness) -> HealthChecks:
    """What must hold for this replica to be ready. Reads do without the replica of Postgres if they must."""
    checks = HealthChecks()
    checks.check("database", partial(database.check_primary, SCHEMA))
    checks.check("pipeline", readiness.check_pipeline)
    checks.check("duties", readiness.check_duties)
    checks.check("replica", database.check_replica, needed=False)
    return checks


def _grpc_server(
    settings: OrchestratorSettings, orchestrator: Orchestrator, metrics: RpcMetrics
) -> GrpcServer:
    return GrpcServer(
        settings.grpc_listen,
        orchestrator.registrations(),
        metrics=metrics,
        map_error=map_error,
        unchecked=[*UNCHECKED_METHODS, *UNCHECKED_READS],
        on_drain=[orchestrator.workers.drain, orchestrator.waiters.drain],
        always_served=[worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name],
        limits=ServerLimits(
            max_calls=settings.max_calls,
            max_connection_age_seconds=settings.connection_max_age or None,
            max_connection_age_grace_seconds=orchestrator.age.grace_seconds,
        ),
    )


async def serve(settings: OrchestratorSettings, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Raises what keeps it from starting."""
    sys.setswitchinterval(SWITCH_SECONDS)
    async with serving(settings):
        await stop.wait()


async def migrate(settings: OrchestratorSettings) -> None:
    """Bring the schema up to date. May be repeated, and run by several processes at the same time."""
    # Here, because Alembic takes 14 MiB that a serving process does not need.

    await upgrade_async(settings.default_connection.asyncpg_dsn)
