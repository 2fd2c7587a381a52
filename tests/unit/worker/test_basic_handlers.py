from typing import Any

import pytest
from workflow_contract.names import BUILT_IN_TASK_TYPES
from workflow_sdk import NonRetryableError, TaskContext, TaskFailure
from workflow_sdk.task import definition_of
from workflow_worker.handlers import basic, built_in_handlers


def context(attempt: int) -> TaskContext:
    return TaskContext("e", "w", "default", "t", None, "fail", attempt, "key")


async def test_noop_and_sleep_return_their_input() -> None:
    assert await basic.noop({"a": 1}) == {"a": 1}
    assert await basic.sleep({"seconds": 0, "name": "x"}) == {"seconds": 0, "name": "x"}


@pytest.mark.parametrize("input", [None, {}, {"seconds": "1"}, {"seconds": -1}, {"seconds": 1e9}])
async def test_sleep_refuses_what_is_no_span_for_good(input: Any) -> None:
    with pytest.raises(NonRetryableError) as caught:
        await basic.sleep(input)
    assert caught.value.type == "InvalidInput"


async def test_fail_fails_as_it_is_told() -> None:
    with pytest.raises(TaskFailure, match="no paper") as caught:
        await basic.fail({"type": "Jam", "message": "no paper", "non_retryable": True}, context(1))
    assert (caught.value.type, caught.value.non_retryable) == ("Jam", True)


async def test_fail_succeeds_from_the_given_attempt_on() -> None:
    with pytest.raises(TaskFailure):
        await basic.fail({"until_attempt": 3}, context(2))
    assert await basic.fail({"until_attempt": 3}, context(3)) == {"attempt": 3}


def test_the_list_of_built_in_tasks_is_what_workers_have() -> None:
    types = sorted(definition_of(handler).type for handler in built_in_handlers([], 1))
    assert frozenset(types) == BUILT_IN_TASK_TYPES
