"""The services of a stack and the settings of each. This module decides, and starts nothing."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service_kit.process.settings import accepted_names, normalised

from embedded_stack.leftovers import STACK_VARIABLE
from embedded_stack.ports import LOOPBACK, first_free, free_ports, is_free
from embedded_stack.settings import Ports, StackSettings, Stores

CATALOG = "catalog"
ORCHESTRATOR = "orchestrator"
GATEWAY = "gateway"
WORKER = "worker"

WORKER_GRPC_OFFSET = 100
"""A worker's gRPC port (health, reflection) is its HTTP port plus this; if that is taken, any free port."""

MODULES: Mapping[str, str] = {
    CATALOG: "workflow_catalog",
    ORCHESTRATOR: "execution_orchestrator",
    GATEWAY: "workflow_gateway",
    WORKER: "workflow_worker",
}
"""The packages that run as `python -m PACKAGE serve`."""

_STORES = ("default_connection", "read_only_connection", "redis")
_DECIDED = frozenset(
    normalised(spelling)
    for name in (*_STORES, "shutdown_grace")
    for spelling in accepted_names(name, StackSettings.model_fields[name])
) | {normalised(name) for name in ("SHUTDOWN_GRACE_SECONDS", "GRPC_LISTEN", "HTTP_LISTEN")}
"""Settings that the stack decides: the environment of the user does not reach the services."""

STORE_NAMES = frozenset(
    normalised(spelling)
    for name in _STORES
    for spelling in accepted_names(name, StackSettings.model_fields[name])
)

_WITHOUT_EFFECT = ("GRPC_LISTEN", "HTTP_LISTEN", "GATEWAY_ADDRESS", "CATALOG_ADDRESS", "ORCHESTRATOR_ADDRESS")
"""Settings of the services that a user may try to set, but that the stack decides."""

_OF_WEB_SERVERS = frozenset({normalised("PROMETHEUS_MULTIPROC_DIR")})
"""With this variable, prometheus_client would write metrics into files of another program."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One process of a service."""

    name: str
    """Unique in the stack, such as `worker-2`."""
    module: str
    environment: Mapping[str, str] = field(repr=False)
    """It contains passwords."""
    http_port: int
    """The port that answers /readyz."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """The addresses and settings that all services of a stack share."""

    data: Path
    ports: Ports
    stores: Stores
    worker_modules: str
    shutdown_grace: float
    """Seconds that a service has for work in flight when it is asked to stop."""
    queues: tuple[str, ...] = ()
    """The queues that the workers serve; empty: the default queue."""
    embedded: bool = True
    """True if the stores are the embedded ones."""
    modules: Mapping[str, str] = field(default_factory=lambda: MODULES)

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses of the services, as environment variables for their callers."""
        return {
            "GATEWAY_ADDRESS": f"{LOOPBACK}:{self.ports.gateway}",
            "GATEWAY_HTTP_ADDRESS": f"{LOOPBACK}:{self.ports.http}",
            "CATALOG_ADDRESS": f"{LOOPBACK}:{self.ports.catalog}",
            "ORCHESTRATOR_ADDRESS": f"{LOOPBACK}:{self.ports.orchestrator}",
        }

    @property
    def store_addresses(self) -> dict[str, str]:
        """The addresses of the stores, as environment variables."""
        return {
            "DEFAULT_CONNECTION": self.stores.default_connection,
            "READ_ONLY_CONNECTION": self.stores.read_only_connection,
            "REDIS": self.stores.redis,
        }

    def catalog(self) -> ServiceSpec:
        """Return the catalog, which needs the stores."""
        return self._spec(CATALOG, self.ports.catalog, self.ports.catalog_http, self.store_addresses)

    def orchestrator(self) -> ServiceSpec:
        """Return the orchestrator, which needs the stores."""
        grpc, http = self.ports.orchestrator, self.ports.orchestrator_http
        return self._spec(ORCHESTRATOR, grpc, http, self.store_addresses)

    def gateway(self) -> ServiceSpec:
        """Return the gateway, which listens to pub/sub."""
        return self._spec(GATEWAY, self.ports.gateway, self.ports.http, {"REDIS": self.stores.redis})

    def worker(self, number: int, taken: set[int]) -> ServiceSpec:
        """Return a worker, which gets no address of a store; its HTTP port is not one of `taken`."""
        first = self.ports.first_worker_http
        http = free_ports(1)[0] if first is None else first_free(first, taken)
        grpc = http + WORKER_GRPC_OFFSET
        if first is None or not is_free(grpc):
            grpc = 0
        name = f"{WORKER}-{number}"
        own = {
            "WORKFLOW_WORKER_ID": name,
            "WORKFLOW_QUEUES": ",".join(self.queues),
            "WORKER_MODULES": self.worker_modules,
            "HTTP_LISTEN": f"{LOOPBACK}:{http}",
            "GRPC_LISTEN": f"{LOOPBACK}:{grpc}",
        }
        return ServiceSpec(name, self.modules[WORKER], self._environment(own), http)

    def migrations(self) -> Sequence[tuple[str, str]]:
        """Return name and module of each migration; `python -m MODULE migrate` runs it."""
        return [(f"{name}-migrate", self.modules[name]) for name in (CATALOG, ORCHESTRATOR)]

    def migration_environment(self) -> dict[str, str]:
        """Return the environment of a migration."""
        return self._environment(self.store_addresses)

    def _spec(self, name: str, grpc: int, http: int, own: Mapping[str, str]) -> ServiceSpec:
        listen = {"GRPC_LISTEN": f"{LOOPBACK}:{grpc}", "HTTP_LISTEN": f"{LOOPBACK}:{http}"}
        return ServiceSpec(name, self.modules[name], self._environment({**listen, **own}), http)

    def _common(self) -> dict[str, str]:
        grace = f"{self.shutdown_grace:g}"
        return {STACK_VARIABLE: str(self.data), "SHUTDOWN_GRACE": grace, **self.addresses}

    def _environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of this process, with `own` in place of all other spellings of these names.

        Leave out the stores unless `own` has them: workers must not know them.
        """
        decided = {**self._common(), **own}
        return environment_with(decided, _DECIDED | _OF_WEB_SERVERS)


def environment_with(decided: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of this process with `decided`, and without other spellings of these names.

    Also leave out the names in `without`, which are normalised.
    """
    dropped = {normalised(name) for name in decided} | set(without)
    inherited = {name: value for name, value in os.environ.items() if normalised(name) not in dropped}
    return {**inherited, **decided}


def listening_warnings(environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each address of a service in `environ`: the stack decides these."""
    ignored = {normalised(name) for name in _WITHOUT_EFFECT}
    return [
        f"{name} has no effect: everything of this stack listens on {LOOPBACK}. To change a port, set "
        "WORKFLOW_GATEWAY_PORT, WORKFLOW_ORCHESTRATOR_PORT or another of the settings *_PORT"
        for name, value in environ.items()
        if value.strip() and normalised(name) in ignored
    ]


def without_stores(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without addresses of servers, for commands that always use the embedded ones."""
    return {name: value for name, value in environ.items() if normalised(name) not in STORE_NAMES}
