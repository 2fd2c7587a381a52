"""What each service is told."""

from dataclasses import replace
from pathlib import Path

import pytest
from embedded_stack.servers import Addresses
from embedded_stack.services import STORE_NAMES, ServicePlan, environment_with, listening_warnings
from embedded_stack.settings import Ports, StackSettings, Stores
from service_kit.process.settings import load

SPELLINGS = (
    "DefaultConnection",
    "DATABASE_URL",
    "read_only_connection",
    "Redis",
    "REDIS_URL",
    "ConnectionStrings__DefaultConnection",
    "CONNECTIONSTRINGS__REDIS",
)


@pytest.fixture
def plan() -> ServicePlan:
    return ServicePlan(
        data=Path("/data"),
        ports=Ports.of(load(StackSettings, {})),
        stores=Stores("postgresql://primary/w", "postgresql://replica/w", "redis://cache:6379/0"),
        worker_modules="orders.handlers",
        shutdown_grace=10.0,
    )


def test_the_services_with_a_database_are_told_where_everything_is(plan: ServicePlan) -> None:
    environment = plan.orchestrator().environment

    assert environment["DEFAULT_CONNECTION"] == "postgresql://primary/w"
    assert environment["READ_ONLY_CONNECTION"] == "postgresql://replica/w"
    assert environment["REDIS"] == "redis://cache:6379/0"
    assert environment["GRPC_LISTEN"] == "127.0.0.1:7012"
    assert environment["HTTP_LISTEN"] == "127.0.0.1:7082"
    assert environment["CATALOG_ADDRESS"] == "127.0.0.1:7011"


def test_workers_are_told_of_no_store_in_any_spelling(
    plan: ServicePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SPELLINGS:
        monkeypatch.setenv(name, "secret")
    environment = plan.worker(1, taken=set()).environment

    assert not {name for name, value in environment.items() if value == "secret" or "CONNECTION" in name}
    assert "REDIS" not in environment


def test_workers_are_told_their_modules_and_where_to_work_for(plan: ServicePlan) -> None:
    environment = plan.worker(3, taken=set()).environment

    assert environment["WORKER_MODULES"] == "orders.handlers"
    assert environment["ORCHESTRATOR_ADDRESS"] == "127.0.0.1:7012"
    assert environment["WORKFLOW_WORKER_ID"] == "worker-3"


def test_the_gateway_is_told_of_redis_and_of_no_database(plan: ServicePlan) -> None:
    environment = plan.gateway().environment

    assert environment["REDIS"] == "redis://cache:6379/0"
    assert not {name for name in environment if "CONNECTION" in name}


def test_the_environment_of_the_user_reaches_the_services(
    plan: ServicePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert plan.catalog().environment["LOG_LEVEL"] == "debug"


def test_services_are_told_the_grace_that_the_supervisor_gives_them(
    plan: ServicePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ShutdownGrace", "3600")
    environment = plan.catalog().environment

    assert environment["SHUTDOWN_GRACE"] == "10"
    assert "ShutdownGrace" not in environment


@pytest.mark.parametrize("name", ["GrpcListen", "SHUTDOWN_GRACE_SECONDS", "catalogaddress", "WorkerModules"])
def test_another_spelling_in_the_shell_contradicts_nothing(
    plan: ServicePlan, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A service that got a setting twice, with two values, would not start."""
    monkeypatch.setenv(name, "hostile")
    assert name not in plan.worker(1, taken=set()).environment


def test_commands_get_the_addresses_of_the_stack_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/orders")
    monkeypatch.setenv("EDITOR", "vi")
    environment = environment_with({"DEFAULT_CONNECTION": "postgresql://embedded/w"}, STORE_NAMES)

    assert environment["DEFAULT_CONNECTION"] == "postgresql://embedded/w"
    assert environment["EDITOR"] == "vi"
    assert "DATABASE_URL" not in environment


def test_nothing_that_holds_a_password_shows_it(plan: ServicePlan) -> None:
    secret = Stores(*["postgresql://u:hunter2@h/w"] * 3)
    shown = repr(replace(plan, stores=secret)) + repr(replace(plan, stores=secret).catalog())
    assert "hunter2" not in shown
    addresses = Addresses(Path("/run"), 1, 2, 3, password="hunter2")

    assert "hunter2" not in repr(addresses)


def test_two_workers_never_get_the_same_port(plan: ServicePlan) -> None:
    first = plan.worker(1, taken=set())
    assert plan.worker(2, taken={first.http_port}).http_port != first.http_port


def test_workers_of_an_ephemeral_stack_take_any_free_port(plan: ServicePlan) -> None:
    ephemeral = replace(plan, ports=Ports.ephemeral())
    assert ephemeral.worker(1, taken=set()).http_port > 0


def test_the_catalog_and_the_orchestrator_have_migrations(plan: ServicePlan) -> None:
    modules = [module for _, module in plan.migrations()]
    assert modules == ["workflow_catalog", "execution_orchestrator"]


@pytest.mark.parametrize("name", ["GRPC_LISTEN", "HttpListen", "ORCHESTRATOR_ADDRESS"])
def test_a_setting_that_only_a_service_alone_obeys_gives_a_warning(name: str) -> None:
    (line,) = listening_warnings({name: "0.0.0.0:7010", "LOG_LEVEL": "debug", "HTTP_LISTEN": " "})
    assert line.startswith(f"{name} has no effect: everything of this stack listens on 127.0.0.1.")
