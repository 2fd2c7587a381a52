"""The HTTP face answers probes and Prometheus from within the service's loop."""

import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from service_kit.process.health import HealthChecks
from service_kit.process.http import HttpServer, make_app
from testkit import eventually


@pytest.fixture
def checks() -> HealthChecks:
    return HealthChecks()


@pytest.fixture
async def client(checks: HealthChecks) -> AsyncIterator[httpx.AsyncClient]:
    async def health() -> tuple[int, dict[str, Any]]:
        return 503, {"status": "unhealthy", "database": "disconnected"}

    registry = CollectorRegistry()
    Counter("greetings", "Greetings given.", registry=registry).inc()
    server = HttpServer("127.0.0.1:0", make_app(checks, health=health, registry=registry))
    port = await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    await server.stop()


async def test_a_living_process_says_so(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).status_code == 200


async def test_readiness_names_the_check_that_fails(client: httpx.AsyncClient, checks: HealthChecks) -> None:
    assert (await client.get("/readyz")).status_code == 200

    async def database() -> None:
        raise ConnectionError("port 5432")

    checks.check("database", database)

    async def is_not_ready() -> httpx.Response:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        return answer

    answer = await eventually(is_not_ready)  # an answer is given again for half a second
    assert answer.json() == {
        "status": "not ready: database",
        "checks": {"database": "ConnectionError: port 5432"},
    }


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert "greetings_total 1.0" in answer.text


async def test_health_is_the_services_own_answer(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")

    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "database": "disconnected"}


async def test_there_is_no_health_route_where_a_service_gives_none() -> None:
    server = HttpServer("127.0.0.1:0", make_app(HealthChecks(), registry=CollectorRegistry()))
    port = await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/health")).status_code == 404
    await server.stop()


async def test_signals_are_left_to_the_service(client: httpx.AsyncClient) -> None:
    await client.get("/livez")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_an_address_in_use_is_refused_with_a_hint() -> None:
    first = HttpServer("127.0.0.1:0", make_app(HealthChecks(), registry=CollectorRegistry()))
    port = await first.start()
    second = HttpServer(f"127.0.0.1:{port}", make_app(HealthChecks(), registry=CollectorRegistry()))
    with pytest.raises(OSError, match="HTTP_LISTEN"):
        await second.start()
    await first.stop()
