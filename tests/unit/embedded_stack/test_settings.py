"""What the environment says about the stack."""

from pathlib import Path

import pytest
from embedded_stack.settings import EXAMPLE_HANDLERS, Ports, StackSettings, importable
from embedded_stack.supervisor import StackOptions
from service_kit.process.settings import SettingsError, load


def test_the_defaults_are_those_of_the_documentation() -> None:
    ports = Ports.of(load(StackSettings, {}))

    assert (ports.gateway, ports.http, ports.catalog, ports.orchestrator) == (7010, 7080, 7011, 7012)
    assert (ports.postgres, ports.replica, ports.redis) == (7432, 7433, 7379)


def test_ports_and_directory_can_be_set() -> None:
    settings = load(StackSettings, {"WORKFLOW_GATEWAY_PORT": "8000", "WORKFLOW_DATA_DIR": "/srv/flow"})

    assert Ports.of(settings).gateway == 8000
    assert settings.workflow_data_dir == Path("/srv/flow")


@pytest.mark.parametrize(("most", "workers"), [("1", 1), ("2", 2), ("10", 2)])
def test_the_most_workers_alone_decide_how_many_there_are_at_the_start(most: str, workers: int) -> None:
    assert load(StackSettings, {"MaxWorkers": most}).fewest_workers == workers


def test_the_queues_that_the_workers_serve_are_counted_for_their_number() -> None:
    settings = load(StackSettings, {"WORKFLOW_QUEUES": "gpu, default"})
    assert StackOptions.of(settings).queues == ("gpu", "default")


def test_the_users_spelling_of_max_workers_works() -> None:
    assert load(StackSettings, {"MaxWorkers": "4"}).max_workers == 4


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"WORKFLOW_HTTP_PORT": "99999"}, "WORKFLOW_HTTP_PORT"),
        ({"WORKFLOW_HTTP_PORT": "http"}, "WORKFLOW_HTTP_PORT"),
        ({"WORKFLOW_WORKERS": "5", "MAX_WORKERS": "4"}, r"WORKFLOW_WORKERS \(5\) exceeds MAX_WORKERS \(4\)"),
        ({"REDIS": "localhost:6379"}, "set both DEFAULT_CONNECTION and REDIS"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(StackSettings, environment)


def test_servers_of_ones_own_replace_the_embedded_ones() -> None:
    settings = load(
        StackSettings,
        {"DefaultConnection": "Host=primary;Database=workflows;Username=app", "Redis": "cache:6379"},
    )
    stores = settings.own_stores

    assert stores is not None
    assert stores.default_connection == "postgresql://app@primary:5432/workflows"
    assert stores.read_only_connection == stores.default_connection
    assert stores.redis == "redis://cache:6379/0"


def test_without_servers_of_ones_own_the_embedded_ones_are_used() -> None:
    assert load(StackSettings, {}).own_stores is None


def test_named_handler_modules_replace_those_of_the_example() -> None:
    assert load(StackSettings, {"WORKER_MODULES": "orders.handlers"}).handler_modules == "orders.handlers"


def test_the_examples_handlers_are_loaded_only_where_they_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert importable("no_such_examples.handlers") == ""

    (tmp_path / "some_examples").mkdir()
    (tmp_path / "some_examples" / "handlers.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert importable("some_examples.handlers") == "some_examples.handlers"
    assert EXAMPLE_HANDLERS == "examples.code_census.handlers"
    assert load(StackSettings, {}).handler_modules == importable(EXAMPLE_HANDLERS)


def test_ephemeral_ports_are_all_different() -> None:
    ports = Ports.ephemeral()
    fixed = (ports.gateway, ports.http, ports.catalog, ports.catalog_http, ports.orchestrator)
    more = (ports.orchestrator_http, ports.postgres, ports.replica, ports.redis)

    assert len({*fixed, *more}) == 9
    assert ports.first_worker_http is None
