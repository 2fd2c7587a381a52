"""What the pipeline learns of each error of the driver: repeat, ask first whether it happened, or refuse."""

import asyncpg
import pytest
from execution_orchestrator.adapters.postgres.store import translated
from execution_orchestrator.application.ports.store import (
    BadDataError,
    RetryTransactionError,
    RowLockedError,
    StoreUnavailableError,
    TransactionTooSlowError,
)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (asyncpg.DeadlockDetectedError("deadlock"), RetryTransactionError),
        (asyncpg.SerializationError("conflict"), RetryTransactionError),
        (asyncpg.DiskFullError("full"), RetryTransactionError),
        (asyncpg.InternalClientError("cannot switch to state 12"), StoreUnavailableError),
        (asyncpg.ReadOnlySQLTransactionError("read-only"), StoreUnavailableError),
        (asyncpg.AdminShutdownError("going down"), StoreUnavailableError),
        (ConnectionResetError(), StoreUnavailableError),
        (TimeoutError(), StoreUnavailableError),
        (asyncpg.DataError("no number"), BadDataError),
        (asyncpg.UniqueViolationError("twice"), RetryTransactionError),
        (asyncpg.CheckViolationError("too small"), BadDataError),
        (asyncpg.QueryCanceledError("too slow"), TransactionTooSlowError),
        (asyncpg.LockNotAvailableError("locked"), RowLockedError),
        (asyncpg.PostgresSyntaxError("SELEC"), asyncpg.PostgresSyntaxError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_an_error_of_the_driver_becomes_one_of_the_port(
    raised: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        async with translated():
            raise raised
    assert caught.type is expected
