"""The meaning of each error of asyncpg: one table for every service.

CONNECTION_LOST   the server does not answer, is going away, or is not a primary; the statement may have run
REFUSED           the server answers, but does not let this service in: wrong password, no such database
OUT_OF_RESOURCES  the server has no memory, disk or connection left; the statement did not run
ROLLED_BACK       another transaction was in the way; this one changed nothing and may be repeated
NOT_SET_UP        the server lacks a table, a column or a right that this service needs
TOO_SLOW          the server cancelled the statement because it ran out of time
DEFECT            everything else: the statement, or the use of asyncpg, is wrong
"""

from __future__ import annotations

import enum

import asyncpg

from service_kit.errors import DEPENDENCY_UNAVAILABLE, ServiceError, unavailable


class Meaning(enum.Enum):
    """The meaning of an error for server and statement; the table above explains each value."""

    CONNECTION_LOST = enum.auto()
    REFUSED = enum.auto()
    OUT_OF_RESOURCES = enum.auto()
    ROLLED_BACK = enum.auto()
    NOT_SET_UP = enum.auto()
    TOO_SLOW = enum.auto()
    DEFECT = enum.auto()


# The first row that fits decides, so a subclass stands above its base class.
_MEANINGS: tuple[tuple[type[BaseException], Meaning], ...] = (
    (OSError, Meaning.CONNECTION_LOST),  # TimeoutError, ssl.SSLError and socket.gaierror are OSErrors
    (asyncpg.PostgresConnectionError, Meaning.CONNECTION_LOST),  # class 08
    (asyncpg.CannotConnectNowError, Meaning.CONNECTION_LOST),  # 57P03: starting up, or shutting down
    (asyncpg.AdminShutdownError, Meaning.CONNECTION_LOST),  # 57P01, also pg_terminate_backend
    (asyncpg.CrashShutdownError, Meaning.CONNECTION_LOST),  # 57P02
    (asyncpg.IdleSessionTimeoutError, Meaning.CONNECTION_LOST),  # 57P05
    (asyncpg.IdleInTransactionSessionTimeoutError, Meaning.CONNECTION_LOST),  # 25P03 ends the session
    (asyncpg.TransactionTimeoutError, Meaning.CONNECTION_LOST),  # 25P04 ends the session
    (asyncpg.ReadOnlySQLTransactionError, Meaning.CONNECTION_LOST),  # 25006: a standby, or about to be one
    (asyncpg.DatabaseDroppedError, Meaning.REFUSED),  # 57P04
    (asyncpg.InvalidAuthorizationSpecificationError, Meaning.REFUSED),  # 28000, and 28P01: the password
    (asyncpg.InvalidCatalogNameError, Meaning.REFUSED),  # 3D000: no such database
    (asyncpg.InsufficientResourcesError, Meaning.OUT_OF_RESOURCES),  # class 53, also "too many connections"
    (asyncpg.PostgresIOError, Meaning.OUT_OF_RESOURCES),  # 58030
    (asyncpg.StatementCompletionUnknownError, Meaning.CONNECTION_LOST),  # 40003
    (asyncpg.TransactionRollbackError, Meaning.ROLLED_BACK),  # class 40: deadlocks, serialization failures
    (asyncpg.LockNotAvailableError, Meaning.ROLLED_BACK),  # 55P03: lock_timeout, NOWAIT
    (asyncpg.InvalidCachedStatementError, Meaning.ROLLED_BACK),  # a migration changed the result's type
    (asyncpg.OutdatedSchemaCacheError, Meaning.ROLLED_BACK),  # asyncpg asks again at the next statement
    (asyncpg.UndefinedTableError, Meaning.NOT_SET_UP),  # 42P01, and below: migrations that did not run
    (asyncpg.UndefinedColumnError, Meaning.NOT_SET_UP),  # 42703
    (asyncpg.InvalidSchemaNameError, Meaning.NOT_SET_UP),  # 3F000
    (asyncpg.InsufficientPrivilegeError, Meaning.NOT_SET_UP),  # 42501
    (asyncpg.QueryCanceledError, Meaning.TOO_SLOW),  # 57014
    (asyncpg.OperatorInterventionError, Meaning.CONNECTION_LOST),  # the rest of class 57
    # A statement that meets a connection in the middle of its end: "cannot switch to state 12". Also
    # ProtocolError (bytes that make no sense), and TargetServerAttributeNotMatched (no host is a primary).
    (asyncpg.InternalClientError, Meaning.CONNECTION_LOST),
)

# asyncpg has one class for a misuse and for a connection that ended; only the text shows which it is.
_ENDED_CONNECTION = ("clos", "released back to the pool", "operation is cancelling")


def meaning_of(error: BaseException) -> Meaning:
    """Return what `error` means. Errors that are not asyncpg's or the network's are DEFECT."""
    if type(error) is asyncpg.InterfaceError:  # its subclasses are misuses, and quote values of callers
        text = str(error)
        ended = any(words in text for words in _ENDED_CONNECTION)
        return Meaning.CONNECTION_LOST if ended else Meaning.DEFECT
    for class_, meaning in _MEANINGS:
        if isinstance(error, class_):
            return meaning
    return Meaning.DEFECT


_GONE = frozenset({Meaning.CONNECTION_LOST, Meaning.REFUSED})
_MAY_SUCCEED_LATER = frozenset({Meaning.OUT_OF_RESOURCES, Meaning.ROLLED_BACK, Meaning.TOO_SLOW})


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the server is gone or refuses this service; the statement may or may not have run."""
    return meaning_of(error) in _GONE


def is_rolled_back(error: BaseException) -> bool:
    """Return whether the statement changed nothing, for a reason that may pass: it may be repeated."""
    return meaning_of(error) in _MAY_SUCCEED_LATER


def is_replicas_fault(error: BaseException) -> bool:
    """Return whether the same read may succeed on the primary.

    A standby cancels a read that blocks its replay (40001), and may lack resources. A read that took too long
    (57014) would also take too long on the primary.
    """
    return meaning_of(error) not in (Meaning.DEFECT, Meaning.TOO_SLOW)


def map_error(error: Exception) -> ServiceError | None:
    """Return the UNAVAILABLE error that callers get for `error`; None if it is a defect of the service."""
    match meaning_of(error):
        case Meaning.DEFECT:
            return None
        case Meaning.OUT_OF_RESOURCES if isinstance(error, asyncpg.DiskFullError):  # 53100
            return _unavailable("the disk of the database is full (free space on it, or enlarge it)")
        case Meaning.OUT_OF_RESOURCES:
            return _unavailable("the database is out of memory or connections")
        case Meaning.ROLLED_BACK:
            return _unavailable("another transaction was in the way")
        case Meaning.NOT_SET_UP:
            return _unavailable(
                "the database lacks tables or rights that this service needs (run its `migrate`, and check"
                " the rights of its user)"
            )
        case Meaning.TOO_SLOW:
            return _unavailable(
                "the database cancelled a statement that took longer than it may (ask for less, such as a"
                " shorter span of time)"
            )
        case _:
            return database_unavailable()


def database_unavailable() -> ServiceError:
    """Return UNAVAILABLE; the same call may be sent again."""
    return _unavailable("the database does not answer")


def _unavailable(problem: str) -> ServiceError:
    message = f"{problem}: send the same call again after a short wait"
    return unavailable(DEPENDENCY_UNAVAILABLE, message, dependency="database")
