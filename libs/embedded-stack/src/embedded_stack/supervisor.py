"""Start the whole stack, keep it running, and stop it in an order in which no work is lost."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from service_kit.tools.word_lists import words

from embedded_stack.autoscaling import Autoscaler
from embedded_stack.errors import StackError
from embedded_stack.lock import DataDirectoryLock
from embedded_stack.managed_service import ManagedService, Say
from embedded_stack.migrations import MigrationRecord, migrate
from embedded_stack.modules import require_modules
from embedded_stack.postgres import Postgres
from embedded_stack.queue_length import QueueLength
from embedded_stack.restart_pause import RestartPause
from embedded_stack.server_care import care_for
from embedded_stack.servers import Servers
from embedded_stack.services import MODULES, WORKER, ServicePlan, ServiceSpec
from embedded_stack.settings import Ports, StackSettings, Stores
from embedded_stack.valkey import Valkey

KILL_MARGIN_SECONDS = 5.0
QUEUE_POLL_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """The options of a stack."""

    data: Path
    ports: Ports
    workers: int = 2
    max_workers: int = 10
    jobs_per_worker: int = 100
    worker_modules: str = ""
    queues: tuple[str, ...] = ()
    """The queues of the workers; their jobs decide the number of workers. Empty: the default queue."""
    shutdown_grace: float = 10.0
    """Seconds for work in flight."""
    kill_margin: float = KILL_MARGIN_SECONDS
    """If a service still runs this many seconds after the grace, it is killed."""
    queue_poll: float = QUEUE_POLL_SECONDS
    """Seconds from one look at the length of the queues to the next."""
    own_stores: Stores | None = None
    """Servers that run elsewhere; None starts the embedded ones."""
    fsync: bool = True
    modules: Mapping[str, str] = field(default_factory=lambda: MODULES)

    @classmethod
    def of(cls, settings: StackSettings) -> Self:
        """Return the options that the settings describe."""
        return cls(
            data=settings.workflow_data_dir.resolve(),
            ports=Ports.of(settings),
            workers=settings.fewest_workers,
            max_workers=settings.max_workers,
            jobs_per_worker=settings.jobs_per_worker,
            worker_modules=settings.handler_modules,
            queues=tuple(settings.served_queues),
            shutdown_grace=settings.shutdown_grace,
            own_stores=settings.own_stores,
        )


class Supervisor:
    """A running stack. `await Supervisor.start(options)` starts one.

    Use it in the event loop of the main thread: on Linux the processes end with the thread that started them.
    """

    def __init__(self, options: StackOptions, lock: DataDirectoryLock, say: Say) -> None:
        self.options = options
        self.servers: Servers | None = None
        """None if the user's own servers are used."""
        self.services: dict[str, ManagedService] = {}
        """The services by name: catalog, orchestrator, gateway, worker-1, worker-2, ..."""
        self.hurry = asyncio.Event()
        """Once it is set, the supervisor stops everything without waiting."""
        self._lock = lock
        self._say = say
        self._background: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, options: StackOptions, say: Say = lambda _: None) -> Self:
        """Start the stack and wait until every service is ready. `say` gets lines for the user.

        Raise StackError if the data directory is in use, a port is taken, a module of the workers is missing
        (then no server starts), or a process does not start. In this case, and if the call is cancelled, stop
        everything again.
        """
        lock = DataDirectoryLock.acquire(options.data)
        if lock.leftovers:
            say(f"stopped processes that an earlier run had left behind: {', '.join(lock.leftovers)}")
        supervisor = cls(options, lock, say)
        try:
            await supervisor._start_all()
        except BaseException:
            supervisor.hurry.set()
            await supervisor.stop()
            raise
        return supervisor

    @property
    def plan(self) -> ServicePlan:
        """The addresses and settings that all services share."""
        options = self.options
        return ServicePlan(
            data=options.data,
            ports=options.ports,
            stores=self._stores(),
            worker_modules=options.worker_modules,
            queues=options.queues,
            shutdown_grace=options.shutdown_grace,
            embedded=options.own_stores is None,
            modules=options.modules,
        )

    @property
    def psql_url(self) -> str:
        """The URL of the primary for psql and other tools."""
        if self.servers is None:
            return self.plan.stores.default_connection
        return self.servers.addresses.database_tcp_url

    @property
    def workers(self) -> list[ManagedService]:
        """The current workers, the oldest first."""
        return [service for name, service in self.services.items() if name.startswith(WORKER)]

    async def run_for_ever(self) -> None:
        """Wait, and raise an error if the supervision itself fails."""
        await asyncio.gather(*self._background)

    async def stop(self) -> None:
        """Drain and stop everything: workers, gateway, orchestrator, catalog, servers. May be repeated."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._stop_services(self.workers)
        for service in reversed(list(self.services.values())):
            await self._stop_services([service])
        if self.servers is not None:
            await asyncio.to_thread(self.servers.stop)
        self._lock.release()

    async def _start_all(self) -> None:
        options = self.options
        require_modules(words(options.worker_modules))
        options.ports.require_free()
        if options.own_stores is None:
            self._say("starting PostgreSQL, its replica and Valkey")
            self.servers = Servers.start(
                options.data,
                postgres_port=options.ports.postgres,
                replica_port=options.ports.replica,
                redis_port=options.ports.redis,
                fsync=options.fsync,
                lock=self._lock,
            )
        plan = self.plan
        await self._migrate(plan)
        self._say("starting the services")
        self._add(plan.catalog())
        # The others call the orchestrator. If they started with it, they could not connect and would wait.
        await self._add(plan.orchestrator()).ready()
        self._add(plan.gateway())
        for _ in range(options.workers):
            self._add_worker()
        await _together(service.ready() for service in self.services.values())
        for service in self.services.values():
            service.keep_running()
        self._background = [
            asyncio.create_task(self._scale_workers()),
            *(asyncio.create_task(care_for(server, self._say)) for server in self._own_servers()),
        ]

    def _own_servers(self) -> Sequence[Postgres | Valkey]:
        if self.servers is None:
            return ()
        every = (self.servers.primary, self.servers.replica, self.servers.valkey)
        return [server for server in every if server is not None]

    async def _migrate(self, plan: ServicePlan) -> None:
        modules = [module for _, module in plan.migrations()]
        record = MigrationRecord(self.servers.layout.state, modules) if self.servers else None
        if record is not None and record.is_current():
            return
        self._say("migrating the database")
        await _together(migrate(plan, *migration) for migration in plan.migrations())
        if record is not None:
            record.note()

    def _stores(self) -> Stores:
        if self.options.own_stores is not None:
            return self.options.own_stores
        if self.servers is None:
            raise StackError("the servers are not running yet: start the supervisor with Supervisor.start")
        addresses = self.servers.addresses
        return Stores(addresses.database_url, addresses.replica_url, addresses.redis_url)

    def _add_worker(self) -> ManagedService:
        taken = {service.spec.http_port for service in self.services.values()}
        numbers = (number for number in range(1, len(self.services) + 2))
        number = next(number for number in numbers if f"{WORKER}-{number}" not in self.services)
        return self._add(self.plan.worker(number, taken))

    def _add(self, spec: ServiceSpec) -> ManagedService:
        service = ManagedService(spec, self.options.data, self._say)
        self.services[spec.name] = service
        return service

    async def _stop_services(self, services: list[ManagedService]) -> None:
        grace = self.options.shutdown_grace + self.options.kill_margin
        await asyncio.gather(*(service.stop(grace, self.hurry) for service in services))
        for service in services:
            del self.services[service.name]

    async def _scale_workers(self) -> None:
        options = self.options
        scaler = Autoscaler(options.workers, options.max_workers, options.jobs_per_worker)
        pause = RestartPause()
        async with QueueLength(self.plan.stores.redis, options.queues) as queue:
            while True:
                await asyncio.sleep(max(options.queue_poll, pause.seconds))
                if (length := await queue.read()) is None:
                    continue
                wanted, scaler = scaler.decide(len(self.workers), length, time.monotonic())
                all_started = await self._scale_to(wanted, length)
                pause = RestartPause() if all_started else pause.after(0)

    async def _scale_to(self, wanted: int, queue_length: int) -> bool:
        """Start or stop workers. Return False if one cannot be started now; the others continue."""
        have = len(self.workers)
        if wanted != have:
            self._say(f"{queue_length} jobs are waiting: {wanted} workers instead of {have}")
        try:
            for _ in range(wanted - have):
                self._add_worker().keep_running()
        except (StackError, OSError) as error:
            self._say(f"another worker cannot start now: {error}")
            return False
        if wanted < have:
            await self._stop_services(self.workers[wanted:])
        return True


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all; at the first error, cancel the rest and raise the error."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
