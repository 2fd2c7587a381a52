"""A pipeline that commits nothing: it keeps what is submitted, and the test answers."""

import asyncio
from collections.abc import Callable

from execution_orchestrator.application.engine.work import Work, WorkResult


class FakePipeline:
    """Keeps the work and its future, in the order in which it was submitted.

    `result` gives each result at once, or raises what the future fails with. Without it, the test sets the
    result of the future. `refusal` is raised by `submit` itself, which then keeps nothing.
    """

    def __init__(self, result: Callable[[Work], WorkResult] | None = None) -> None:
        self.submitted: list[Work] = []
        self.futures: list[asyncio.Future[WorkResult]] = []
        self.result = result
        self.refusal: Exception | None = None

    def submit(self, work: Work) -> "asyncio.Future[WorkResult]":
        if self.refusal is not None:
            raise self.refusal
        future: asyncio.Future[WorkResult] = asyncio.get_running_loop().create_future()
        self.submitted.append(work)
        self.futures.append(future)
        if self.result is not None:
            try:
                future.set_result(self.result(work))
            except Exception as error:
                future.set_exception(error)
        return future
