"""Which errors of asyncpg mean that the server is gone or going, rather than that a statement was wrong."""

from __future__ import annotations

import asyncpg

from service_kit.errors import DEPENDENCY_UNAVAILABLE, ServiceError, unavailable

_CONNECTION_ERRORS = (
    OSError,  # TimeoutError too
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
# What a standby may answer to a query that the primary can answer: recovery conflicts (40001 and its kin).
_STANDBY_ERRORS = (asyncpg.SerializationError, asyncpg.ReadOnlySQLTransactionError)


def is_connection_lost(error: BaseException) -> bool:
    """Whether the server does not answer, or cut the connection; the statement may or may not have run."""
    if isinstance(error, asyncpg.InterfaceError):  # a misuse of asyncpg, or: connection (or pool) is closed
        return "clos" in str(error)
    return isinstance(error, _CONNECTION_ERRORS)


def is_replicas_fault(error: BaseException) -> bool:
    """Whether the same read may succeed on the primary."""
    return is_connection_lost(error) or isinstance(error, _STANDBY_ERRORS)


def map_error(error: Exception) -> ServiceError | None:
    """What a lost connection means to a caller: UNAVAILABLE; None for other errors. For the interceptor."""
    return database_unavailable() if is_connection_lost(error) else None


def database_unavailable() -> ServiceError:
    """UNAVAILABLE; the same call may be sent again."""
    message = "the database does not answer: send the same call again after a short wait"
    return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="database")
