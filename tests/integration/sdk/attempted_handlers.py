"""Handlers that end in every way there is; child processes import this module."""

import asyncio
import time
from typing import Any

from workflow_sdk import NonRetryableError, TaskContext, TaskFailure, task


@task("attempted.echo")
def echo(value: Any) -> Any:
    return value


@task("attempted.facts")
def facts(_: Any, context: TaskContext) -> dict[str, Any]:
    return {"attempt": context.attempt, "item": context.item, "type": context.task_type}


@task("attempted.divide")
def divide(number: int) -> float:
    return 1 / number


@task("attempted.refuse")
def refuse(_: Any) -> None:
    raise NonRetryableError("the amount must be above 0")


@task("attempted.name")
def name_failure(_: Any) -> None:
    raise TaskFailure("the bank is closed", type="BankClosed")


@task("attempted.set")
def return_a_set(_: Any) -> Any:
    return {1, 2}


@task("attempted.large")
def return_much(_: Any) -> str:
    return "x" * (1024 * 1024)


@task("attempted.exit")
def leave(_: Any) -> None:
    raise SystemExit(3)


@task("attempted.sleep")
def sleep(seconds: float, context: TaskContext) -> str:
    context.heartbeat({"slept": 0})
    time.sleep(seconds)
    return "slept"


@task("attempted.finish")
def finish_although_cancelled(_: Any, context: TaskContext) -> str:
    context.heartbeat({"slept": 0})
    try:
        time.sleep(30)
    except BaseException:
        return "saved"
    return "slept"


@task("attempted.break")
def break_when_cancelled(_: Any, context: TaskContext) -> None:
    context.heartbeat({"slept": 0})
    try:
        time.sleep(30)
    finally:
        raise OSError("the clean-up failed")


@task("attempted.async_echo")
async def async_echo(value: Any) -> Any:
    return value


@task("attempted.async_divide")
async def async_divide(number: int) -> float:
    return 1 / number


@task("attempted.async_exit")
async def async_leave(_: Any) -> None:
    raise SystemExit(3)


@task("attempted.async_sleep")
async def async_sleep(seconds: float, context: TaskContext) -> str:
    context.heartbeat({"slept": 0})
    await asyncio.sleep(seconds)
    return "slept"


@task("attempted.async_cancels_itself")
async def async_cancels_itself(_: Any) -> None:
    raise asyncio.CancelledError


@task("attempted.async_finish")
async def async_finish_although_cancelled(_: Any, context: TaskContext) -> str:
    context.heartbeat({"slept": 0})
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        return "saved"
    return "slept"
