"""Checks run together, have a time limit each, and say what is wrong in one line."""

import asyncio

import pytest
from service_kit.process.health import HealthChecks


async def passes() -> None:
    pass


async def test_a_service_without_checks_is_healthy() -> None:
    assert (await HealthChecks().run()).ok


async def test_the_report_names_each_failing_check_and_its_problem() -> None:
    async def fails() -> None:
        raise ConnectionRefusedError("port 5432\ndetails below")

    checks = HealthChecks()
    checks.check("redis", passes)
    checks.check("database", fails)
    report = await checks.run()
    assert not report.ok
    assert report.failing == ("database",)
    assert [result.problem for result in report.results] == [None, "ConnectionRefusedError: port 5432"]


async def test_a_check_that_does_not_answer_fails_after_its_own_time_out() -> None:
    checks = HealthChecks()
    checks.check("stuck", asyncio.Event().wait, timeout=0.01)
    checks.check("fine", passes)

    assert [result.problem for result in (await checks.run()).results] == ["no answer within 0.01 s", None]


async def test_checks_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)
    checks = HealthChecks()
    checks.check("one", meeting.wait)
    checks.check("two", meeting.wait)

    assert (await checks.run()).ok


def test_two_checks_of_one_name_are_refused() -> None:
    checks = HealthChecks()
    checks.check("database", passes)

    with pytest.raises(ValueError, match="database"):
        checks.check("database", passes)


async def test_a_problem_that_is_not_needed_to_be_solved_is_shown_and_the_service_stays_ready() -> None:
    async def fails() -> None:
        raise ConnectionRefusedError("port 5433")

    checks = HealthChecks()
    checks.check("database", passes)
    checks.check("replica", fails, needed=False)
    report = await checks.run()
    assert report.ok
    assert report.failing == ()
    assert report.problems == {"replica": "ConnectionRefusedError: port 5433"}
