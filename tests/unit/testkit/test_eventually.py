"""Waiting for conditions."""

import itertools

import pytest
from testkit import eventually


async def test_it_returns_the_result_once_the_assertions_hold() -> None:
    attempts = itertools.count(1)

    def third_time_lucky() -> int:
        attempt = next(attempts)
        assert attempt >= 3
        return attempt

    assert await eventually(third_time_lucky, interval=0) == 3


async def test_it_awaits_a_coroutine_function() -> None:
    async def answer() -> str:
        return "yes"

    assert await eventually(answer) == "yes"


async def test_it_gives_up_with_the_last_failure_in_its_message() -> None:
    attempts = itertools.count(1)

    def never() -> None:
        raise AssertionError(f"attempt {next(attempts)} failed")

    with pytest.raises(AssertionError, match=r"still not so after 0 s: attempt 1 failed"):
        await eventually(never, timeout=0)


async def test_a_plain_false_counts_as_a_failure() -> None:
    with pytest.raises(AssertionError, match="returned False"):
        await eventually(lambda: False, timeout=0)


async def test_any_other_error_is_raised_at_once() -> None:
    def broken() -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError, match="typo"):
        await eventually(broken, timeout=60)
