"""The gateway as users start it: a process."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

import httpx
from testkit import eventually, free_port


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    inherited: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "REDIS"}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workflow_gateway", *arguments),
        env={**inherited, **environment},
        stdout=pipe,
        stderr=pipe,
    )


async def test_it_serves_without_its_peers_and_ends_in_good_order(redis_url: str) -> None:
    port = free_port()
    process = await start(
        "serve", REDIS=redis_url, GRPC_LISTEN="127.0.0.1:0", HTTP_LISTEN=f"127.0.0.1:{port}"
    )

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

        async def alive() -> bool:
            try:
                return (await http.get("/livez")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(alive, timeout=30)
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.get("/health")).status_code == 503
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b"Traceback" not in err


async def test_wrong_settings_are_two_with_a_line_each() -> None:
    process = await start("serve", REDIS="ftp://x", MAX_WATCHERS="many")
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert out == b""
    lines = err.decode().splitlines()

    assert len(lines) == 2
    assert "REDIS" in err.decode()
    assert "MAX_WATCHERS" in err.decode()


async def test_config_prints_every_setting() -> None:
    process = await start("config", REDIS="127.0.0.1:6379")
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 0
    assert "ORCHESTRATOR_ADDRESS = 127.0.0.1:7012" in out.decode()


async def test_a_start_that_fails_early_says_what_is_wrong() -> None:
    process = await start("serve", REDIS="redis://127.0.0.1:6379/0?socket_timeout=abc")
    _, err = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode != 0
    assert "REDIS" in err.decode()
    assert "AttributeError" not in err.decode()
