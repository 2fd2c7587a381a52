"""Build the service, run it, and stop its parts in order."""

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import uuid4

from prometheus_client import REGISTRY, CollectorRegistry
from redis.asyncio import Redis
from service_kit.data import postgres
from service_kit.data import redis as redis_kit
from service_kit.data.postgres import Database
from service_kit.process import service
from service_kit.process.duties import Duty, always
from service_kit.process.health import HealthChecks
from service_kit.process.service import Servers
from service_kit.rpc.channel import connect as connect_channel
from service_kit.rpc.server import Registration
from service_kit.rpc.stream_age import StreamAge
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
from execution_orchestrator.entrypoints.execution_servicer import UNCHECKED_READS, ExecutionServicer
from execution_orchestrator.entrypoints.worker_servicer import UNCHECKED_METHODS, WorkerServicer
from execution_orchestrator.settings import OrchestratorSettings
from execution_orchestrator.tuning import USUAL_TUNING, Tuning

SERVICE_NAME = "execution-orchestrator"

SYSTEM_CLOCK = SystemClock()


class Orchestrator:
    """All objects of the service, connected. Nothing runs yet."""

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
        self.duty_store = PostgresStore(database.duties)  # never waits for the pipeline's pool
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
            starts, self.pipeline, self.reads, self.queue, self.waiters, usage, WorkerList(board)
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
        """Act on the rings of another replica's commits."""
        self.waiters.ring(rings)
        self.roster.pushed()
        self.cancels.check([ring.execution_id for ring in rings if ring.workers_must_check])

    def _missed(self) -> None:
        """Look at everything, because rings may have been missed."""
        self.waiters.ring_all()
        self.roster.pushed()

    def registrations(self) -> list[Registration]:
        """Return the gRPC services."""
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
        """Run the loops. At the end finish the work that was accepted."""
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
        loops = [asyncio.create_task(always(name, duty), name=name) for name, duty in duties.items()]
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


@asynccontextmanager
async def serving(
    settings: OrchestratorSettings,
    *,
    registry: CollectorRegistry = REGISTRY,
    clock: Clock = SYSTEM_CLOCK,
    tuning: Tuning = USUAL_TUNING,
) -> AsyncIterator[tuple[Orchestrator, Servers]]:
    """Run the service while the block lasts, then drain and stop it. Raise the error that prevents its start.

    If a process runs several orchestrators, give each one a `registry`. `clock` is the clock of this process;
    it never decides what is due.
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
        orchestrator = Orchestrator(settings, database, client, catalog, clock, tuning)
        await resources.enter_async_context(orchestrator.running())
        servers = _servers(settings, orchestrator, _checks(database, orchestrator.readiness), registry)
        yield orchestrator, await resources.enter_async_context(servers)


def _checks(database: Database, readiness: Readiness) -> HealthChecks:
    """Return the checks. The service is ready without the replica of Postgres, which only serves reads."""
    checks = HealthChecks()
    checks.check("database", partial(database.check_primary, SCHEMA))
    checks.check("pipeline", readiness.check_pipeline)
    checks.check("duties", readiness.check_duties)
    checks.check("replica", database.check_replica, needed=False)
    return checks


def _servers(
    settings: OrchestratorSettings,
    orchestrator: Orchestrator,
    checks: HealthChecks,
    registry: CollectorRegistry,
) -> AbstractAsyncContextManager[Servers]:
    return service.running(
        settings,
        orchestrator.registrations(),
        checks,
        map_error=map_error,
        unchecked=[*UNCHECKED_METHODS, *UNCHECKED_READS],
        always_served=[worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].full_name],
        on_drain=[orchestrator.workers.drain, orchestrator.waiters.drain],
        limits=service.limits_of(settings.max_calls, orchestrator.age),
        registry=registry,
    )


async def serve(settings: OrchestratorSettings, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Raise the error that prevents it from starting."""
    sys.setswitchinterval(SWITCH_SECONDS)
    async with serving(settings):
        await stop.wait()


async def migrate(settings: OrchestratorSettings) -> None:
    """Migrate the database schema to this release. May be repeated, and run by several processes at once."""
    # Import here: Alembic takes 14 MiB of memory, which a serving process does not need.
    from execution_orchestrator.adapters.postgres.migrate import upgrade_async

    await upgrade_async(settings.default_connection.asyncpg_dsn)
