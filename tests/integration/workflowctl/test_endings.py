"""A command always ends with a documented exit code and without a traceback."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from testkit import eventually
from workflowctl.exit_codes import TABLE, ExitCode
from workflowsystem.execution.v1 import execution_pb2

from tests.fakes.gateway import EXECUTION_ID, FakeGateway
from tests.integration.workflowctl.conftest import Ran, Start, write

GENEROUS_SECONDS = 120.0
"""For a process on a busy machine."""
Shell = Callable[..., Awaitable[Ran]]


@pytest.fixture
def shell(fake: FakeGateway, tmp_path: Path) -> Shell:
    """Runs a command line as a shell does; `ctl` in it is workflowctl."""

    async def run(line: str, stdout: Any = asyncio.subprocess.PIPE, **variables: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", line.replace("ctl", f"{sys.executable} -m workflowctl", 1)),
            env={**os.environ, "WORKFLOW_GATEWAY": f"127.0.0.1:{fake.port}", **variables},
            cwd=tmp_path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), GENEROUS_SECONDS)
        ran = Ran(process.returncode, (out or b"").decode(), err.decode(errors="replace"))
        assert "Traceback" not in ran.err
        assert "Exception ignored" not in ran.err
        return ran

    return run


@pytest.mark.parametrize(
    "line",
    [
        "ctl list >/dev/full",
        "ctl list -o json >/dev/full",
        f"ctl watch {EXECUTION_ID} -o json >/dev/full",
        "ctl graph a.yaml --format dot >/dev/full",
        "ctl --help >/dev/full",
        "ctl --version >/dev/full",
    ],
)
async def test_a_full_disk_is_noticed(shell: Shell, line: str, tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "{workflow_id: a, tasks: [{id: a, type: noop}]}")
    ran = await shell(line)

    assert ran.code == ExitCode.OUTPUT
    assert re.fullmatch(r"error: standard output cannot be written: No space left.*\n", ran.err)


@pytest.mark.parametrize("line", ["ctl list >&-", "ctl list -o json >&-"])
async def test_a_closed_output_is_noticed(shell: Shell, line: str) -> None:
    ran = await shell(line)
    assert (ran.code, "Bad file descriptor" in ran.err) == (ExitCode.OUTPUT, True)


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_reader_that_has_seen_enough_is_no_failed_execution(
    shell: Shell, fake: FakeGateway, form: str
) -> None:
    fake.watches.endless = True
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = await shell(f"ctl start orders --watch -o {form}", stdout=writing)
    finally:
        os.close(writing)

    assert (ran.code, ran.err) == (ExitCode.OUTPUT, "")


@pytest.mark.parametrize("streams", [">/dev/full", "2>/dev/full", "2>&-", ">&- 2>&- <&-"])
async def test_a_command_that_failed_keeps_its_exit_code(shell: Shell, streams: str) -> None:
    assert (await shell(f"ctl get nobody {streams}")).code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ctl apply - <&-", "standard input cannot be read: Bad file descriptor"),
        ("ctl start orders -i - <&-", "standard input cannot be read: Bad file descriptor"),
        ("ctl apply ./", "is a directory"),
        ("ctl apply binary.yaml", "is not UTF-8"),
        ("ctl get $(printf '\\377')", "is not UTF-8"),
        ("ctl list --timeout 99999999999d", "--timeout: must be from 1ms to 24h, but is 99999999999d"),
        ("ctl list --timeout 0s", "--timeout: must be from 1ms to 24h, but is 0s"),
        ("ctl list --address ' '", "--address is empty"),
        ("ctl start orders --version 99999999999", "--version"),
        ("ctl diff orders --from 99999999999", "--from"),
        ("ctl list --limit x", "--limit"),
        ("ctl nothing", "nothing"),
    ],
)
async def test_what_cannot_be_read_is_wrong_usage(shell: Shell, line: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    ran = await shell(line)

    assert (ran.code, ran.out) == (ExitCode.USAGE, "")
    assert told in ran.err


async def test_texts_and_names_of_files_are_utf_8_in_every_locale(
    shell: Shell, fake: FakeGateway, tmp_path: Path
) -> None:
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert (await shell(f"ctl pause {EXECUTION_ID} --reason Grüße", **c_locale)).code == 0
    assert fake.executions.requests[-1].reason == "Grüße"
    write(tmp_path / "größe.yaml", "{workflow_id: a, tasks: [{id: a, type: noop}]}")
    ran = await shell("ctl validate größe.yaml --offline", **c_locale)

    assert (ran.code, "gr\\xf6\\xdfe.yaml" in ran.out) == (0, True)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize(
    "arguments", [("watch", EXECUTION_ID), ("apply", "-")], ids=["watch", "standard input"]
)
async def test_a_signal_ends_it_with_the_code_of_the_signal(
    ctl_process: Start, fake: FakeGateway, number: signal.Signals, code: int, arguments: tuple[str, ...]
) -> None:
    fake.watches.endless = True
    process = await ctl_process(*arguments)
    assert process.stdout is not None
    if arguments[0] == "watch":
        await asyncio.wait_for(process.stdout.readline(), GENEROUS_SECONDS)
    else:
        await _wait_until_it_reads(process)
    process.send_signal(number)

    _, err = await asyncio.wait_for(process.communicate(), GENEROUS_SECONDS)

    assert (process.returncode, err) == (code, b"")


async def _wait_until_it_reads(process: asyncio.subprocess.Process) -> None:
    """A pipe holds 64 KiB: what is more has been read. The process reads on, to the end of the pipe."""
    assert process.stdin is not None
    process.stdin.write(b"#" * 200_000)
    transport = process.stdin.transport
    await eventually(lambda: transport.get_write_buffer_size() == 0, GENEROUS_SECONDS)


async def test_a_failed_execution_is_the_only_reason_for_exit_code_one(
    shell: Shell, fake: FakeGateway
) -> None:
    fake.watches.status = execution_pb2.EXECUTION_STATUS_FAILED

    assert (await shell(f"ctl watch {EXECUTION_ID}")).code == 1
    assert (await shell(f"ctl watch {EXECUTION_ID} >/dev/full")).code == ExitCode.OUTPUT


def test_help_lists_every_exit_code() -> None:
    assert sorted(map(int, re.findall(r"(?<!\S)(\d+) [a-zA-Z]", TABLE))) == sorted(set(ExitCode))
