"""The command line of a service: commands, exit codes, signals."""

import asyncio
import os
import signal

import pytest
from service_kit.process.cli import run
from service_kit.process.settings import Settings, setting


class GreeterSettings(Settings):
    """One setting."""

    greeting: str = setting("hello", "what callers are greeted with", max_length=10)


@pytest.fixture(autouse=True)
def _no_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREETING", raising=False)


async def serve_until_stopped(_: GreeterSettings, stop: asyncio.Event) -> None:
    await stop.wait()


def test_config_prints_every_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Greeting", "howdy")

    assert run("greeter", serve_until_stopped, GreeterSettings, argv=["config"]) == 0
    assert (
        "GREETING = howdy   (default hello)\n      what callers are greeted with" in capsys.readouterr().out
    )


def test_help_prints_the_commands_and_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("greeter", serve_until_stopped, GreeterSettings, argv=["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out

    assert "serve" in printed
    assert "what callers are greeted with" in printed


@pytest.mark.parametrize("command", ["serve", "config"])
def test_a_wrong_configuration_ends_with_2_and_one_line_a_fault(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREETING", "much too long a greeting")
    assert run("greeter", serve_until_stopped, GreeterSettings, argv=[command]) == 2
    told = capsys.readouterr().err.splitlines()

    assert len(told) == 1
    assert told[0].startswith("greeter: GREETING: ")


def test_a_service_without_a_schema_has_no_migrate_command() -> None:
    with pytest.raises(SystemExit) as ended:
        run("greeter", serve_until_stopped, GreeterSettings, argv=["migrate"])
    assert ended.value.code == 2


@pytest.mark.parametrize("is_async", [True, False])
def test_migrate_may_be_plain_or_async(is_async: bool) -> None:
    done: list[str] = []

    async def migrate_async(settings: GreeterSettings) -> None:
        done.append(settings.greeting)

    def migrate(settings: GreeterSettings) -> None:
        done.append(settings.greeting)

    chosen = migrate_async if is_async else migrate
    assert run("greeter", serve_until_stopped, GreeterSettings, chosen, argv=["migrate"]) == 0
    assert done == ["hello"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_service_in_good_order(number: signal.Signals) -> None:
    finished = []

    async def serve(_: GreeterSettings, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        finished.append("drained")

    assert run("greeter", serve, GreeterSettings, argv=["serve"]) == 0
    assert finished == ["drained"]


def test_a_second_signal_ends_a_service_that_hangs() -> None:
    async def serve(_: GreeterSettings, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    assert run("greeter", serve, GreeterSettings, argv=["serve"]) == 1


def test_a_service_that_fails_ends_with_1() -> None:
    async def serve(_: GreeterSettings, __: asyncio.Event) -> None:
        raise RuntimeError("no database")

    assert run("greeter", serve, GreeterSettings, argv=["serve"]) == 1
