"""What arrives while a batch is in flight forms the next batch."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest
from service_kit.errors import ServiceError
from service_kit.tools.batching import Batcher, BatchQueue, Entry
from testkit import eventually


class Handler:
    """Records the batches, and holds each back until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        if not held:
            self.open.set()

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.open.wait()
        return [item * 10 for item in items]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_idle_batcher_waits_for_nothing() -> None:
    handler = Handler()

    assert await Batcher(handler).submit(1) == 10
    assert handler.batches == [[1]]


async def test_items_that_arrive_during_a_batch_form_the_next_one_in_order() -> None:
    handler = Handler(held=True)
    batcher = Batcher(handler)
    first = batcher.submit(0)
    await turns()
    rest = [batcher.submit(item) for item in range(1, 50)]
    await turns()
    assert handler.batches == [[0]]

    handler.open.set()

    assert await asyncio.gather(first, *rest) == [item * 10 for item in range(50)]
    assert handler.batches == [[0], list(range(1, 50))]


async def test_a_batch_has_at_most_max_batch_items_first_come_first_served() -> None:
    handler = Handler()
    batcher = Batcher(handler, max_batch=3)
    await asyncio.gather(*(batcher.submit(item) for item in range(7)))

    assert handler.batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_an_exception_among_the_results_goes_to_its_own_submitter_only() -> None:
    async def handle(items: Sequence[int]) -> list[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    batcher = Batcher(handle)
    results = await asyncio.gather(*(batcher.submit(item) for item in range(4)), return_exceptions=True)
    assert results[0::2] == [0, 2]
    assert all(isinstance(result, ValueError) for result in results[1::2])


async def test_an_exception_of_the_handler_goes_to_its_whole_batch_and_the_next_batch_goes_on() -> None:
    calls = 0

    async def handle(items: Sequence[int]) -> list[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("commit failed")
        return list(items)

    batcher = Batcher(handle)
    failed = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [str(error) for error in failed] == ["commit failed", "commit failed"]
    assert await batcher.submit(3) == 3


async def test_a_handler_that_loses_results_fails_the_batch_instead_of_mixing_them_up() -> None:
    async def handle(items: Sequence[int]) -> list[int | Exception]:
        return list(items)[1:]

    with pytest.raises(RuntimeError, match="1 items were handled with 0 results"):
        await Batcher(handle).submit(1)


async def test_a_cancelled_submitter_disturbs_neither_the_batch_in_flight_nor_the_others() -> None:
    handler = Handler(held=True)
    batcher = Batcher(handler)
    in_flight = asyncio.ensure_future(wait_for(batcher, 1))
    neighbour = asyncio.ensure_future(wait_for(batcher, 2))
    await turns()
    waiting = asyncio.ensure_future(wait_for(batcher, 3))
    last = asyncio.ensure_future(wait_for(batcher, 4))
    await turns()
    in_flight.cancel()
    waiting.cancel()
    await turns()

    handler.open.set()

    assert await neighbour == 20
    assert await last == 40
    assert handler.batches == [[1, 2], [4]]


async def test_more_than_max_queue_waiting_items_are_refused_as_overload() -> None:
    handler = Handler(held=True)
    batcher = Batcher(handler, max_queue=2)
    accepted = [batcher.submit(0)]
    await turns()
    accepted += [batcher.submit(1), batcher.submit(2)]
    with pytest.raises(ServiceError) as refused:
        batcher.submit(3)
    assert refused.value.reason == "OVERLOADED"
    assert len(batcher) == 2

    handler.open.set()

    assert await asyncio.gather(*accepted) == [0, 10, 20]


async def test_close_finishes_what_was_accepted_and_refuses_what_comes_later() -> None:
    handler = Handler(held=True)
    batcher = Batcher(handler)
    accepted = [batcher.submit(0)]
    await turns()
    accepted.append(batcher.submit(1))
    closing = asyncio.ensure_future(batcher.close())
    await turns()
    assert not closing.done()
    with pytest.raises(ServiceError, match="shutting down"):
        batcher.submit(2)
    handler.open.set()
    await closing
    assert [future.result() for future in accepted] == [0, 10]

    await batcher.close()


async def test_a_batch_does_not_run_in_the_context_of_its_first_submitter() -> None:
    bound: contextvars.ContextVar[str] = contextvars.ContextVar("bound", default="nobody")
    seen = []

    async def handle(items: Sequence[int]) -> list[int | Exception]:
        seen.append(bound.get())
        return list(items)

    bound.set("first submitter")
    await Batcher(handle).submit(1)
    assert seen == ["nobody"]


async def test_a_thousand_concurrent_submitters_get_each_his_own_result() -> None:
    handler = Handler()
    batcher = Batcher(handler, max_batch=64)

    async def many(start: int) -> None:
        for item in range(start, start + 10):
            assert await batcher.submit(item) == item * 10

    await asyncio.gather(*(many(start) for start in range(0, 10_000, 10)))
    assert sorted(item for batch in handler.batches for item in batch) == list(range(10_000))
    assert max(len(batch) for batch in handler.batches) == 64


async def wait_for(batcher: Batcher[int, int], item: int) -> int:
    return await batcher.submit(item)


async def test_a_batcher_says_how_old_the_batch_in_flight_is() -> None:
    goes_on = asyncio.Event()

    async def handle(items: Sequence[int]) -> list[int]:
        await goes_on.wait()
        return list(items)

    batcher = Batcher[int, int](handle)
    assert batcher.oldest_seconds == 0.0
    waiting = batcher.submit(1)
    await eventually(lambda: batcher.oldest_seconds > 0.01)
    goes_on.set()
    await waiting
    await batcher.close()
    assert batcher.oldest_seconds == 0.0


class SetsAside(BatchQueue[str, None]):
    """Keeps each entry outside the queue at first, and keeps it in flight when it comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.aside: list[Entry[str, None]] = []
        self.may_end = asyncio.Event()

    async def handle_entries(self, entries: Sequence[Entry[str, None]]) -> None:
        """Wait for `may_end` if the entries were here before."""
        if not self.aside:
            self.aside += entries
            return
        await self.may_end.wait()
        for entry in entries:
            entry.settle(None)


@pytest.mark.parametrize("outside", [True, False], ids=["outside the queue", "in the queue"])
async def test_the_age_of_the_oldest_item_counts_only_time_in_the_queue(outside: bool) -> None:
    queue = SetsAside()
    done = queue.submit("a")
    await eventually(lambda: len(queue.aside) == 1)
    (entry,) = queue.aside
    entry.submit_time -= 100
    entry.queue_time -= 100
    (queue.return_to_queue if outside else queue.put_back)([entry])
    await eventually(lambda: queue.oldest_seconds > 0)
    assert (queue.oldest_seconds < 50) == outside
    queue.may_end.set()

    await done
