"""A crashed server comes back; a start that fails is tried again, and nothing waits meanwhile."""

import asyncio
import threading

from embedded_stack.errors import StackError
from embedded_stack.server_care import care_for
from testkit import eventually


class FakeServer:
    """A server that crashed, with what its next starts do."""

    name = "primary"

    def __init__(self, *failures: Exception) -> None:
        self.crashed = True
        self.starts = 0
        self.way_is_clear = threading.Event()
        self.way_is_clear.set()
        self._failures = list(failures)

    def clear_the_way(self) -> None:
        assert self.way_is_clear.wait(60)

    def launch(self) -> None:
        self.starts += 1
        if self._failures:
            raise self._failures.pop(0)
        self.crashed = False


async def short_sleep(seconds: float) -> None:
    """Take a thousandth of the pause."""
    await asyncio.sleep(seconds / 1000)


async def test_a_start_that_fails_is_told_and_tried_again() -> None:
    server, said = FakeServer(StackError("no memory"), OSError("disk full")), list[str]()
    care = asyncio.create_task(care_for(server, said.append, poll=0.001, sleep=short_sleep))
    await eventually(lambda: not server.crashed)
    assert server.starts == 3
    assert [line for line in said if "cannot start" in line] == [
        "primary cannot start: no memory",
        "primary cannot start: disk full",
    ]
    assert not care.done()

    care.cancel()


async def test_the_loop_runs_on_while_the_sessions_of_a_killed_server_end() -> None:
    server = FakeServer()
    server.way_is_clear.clear()
    care = asyncio.create_task(care_for(server, lambda _: None, poll=0.001, sleep=short_sleep))
    for _ in range(100):
        await asyncio.sleep(0.001)  # would not return if the loop were blocked
    assert server.starts == 0
    server.way_is_clear.set()
    await eventually(lambda: server.starts == 1)

    care.cancel()
