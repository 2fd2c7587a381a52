"""Every error that a server or a dying connection gives is known, and none of them is a defect of ours."""

import inspect
import socket
import ssl

import asyncpg
import asyncpg.exceptions
import grpc
import pytest
from asyncpg.exceptions import _base
from service_kit.data.database_errors import (
    Meaning,
    is_connection_lost,
    is_replicas_fault,
    is_rolled_back,
    map_error,
    meaning_of,
)

LOST, REFUSED, FULL = Meaning.CONNECTION_LOST, Meaning.REFUSED, Meaning.OUT_OF_RESOURCES
BACK, SLOW, DEFECT = Meaning.ROLLED_BACK, Meaning.TOO_SLOW, Meaning.DEFECT
NOT_SET_UP = Meaning.NOT_SET_UP


def error(class_: type[Exception]) -> Exception:
    return class_("some text")


MEANINGS: list[tuple[Exception, Meaning]] = [
    (ConnectionResetError(), LOST),
    (ConnectionRefusedError(), LOST),
    (TimeoutError(), LOST),
    (socket.gaierror(-2, "Name or service not known"), LOST),
    (ssl.SSLError("handshake"), LOST),
    (error(asyncpg.PostgresConnectionError), LOST),
    (error(asyncpg.ConnectionDoesNotExistError), LOST),
    (error(asyncpg.ConnectionFailureError), LOST),
    (error(asyncpg.ClientCannotConnectError), LOST),
    (error(asyncpg.ConnectionRejectionError), LOST),
    (error(asyncpg.TransactionResolutionUnknownError), LOST),
    (error(asyncpg.ProtocolViolationError), LOST),
    (error(asyncpg.CannotConnectNowError), LOST),
    (error(asyncpg.AdminShutdownError), LOST),
    (error(asyncpg.CrashShutdownError), LOST),
    (error(asyncpg.IdleSessionTimeoutError), LOST),
    (error(asyncpg.IdleInTransactionSessionTimeoutError), LOST),
    (error(asyncpg.TransactionTimeoutError), LOST),
    (error(asyncpg.ReadOnlySQLTransactionError), LOST),
    (error(asyncpg.StatementCompletionUnknownError), LOST),
    (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), LOST),
    (_base.ProtocolError("unexpected message"), LOST),
    (asyncpg.TargetServerAttributeNotMatched("None of the hosts match"), LOST),
    (asyncpg.InterfaceError("connection is closed"), LOST),
    (asyncpg.InterfaceError("the underlying connection is closed"), LOST),
    (asyncpg.InterfaceError("pool is closing"), LOST),
    (
        asyncpg.InterfaceError(
            "cannot call Connection.fetch(): connection has been released back to the pool"
        ),
        LOST,
    ),
    (asyncpg.InterfaceError("cannot perform operation: another operation is cancelling"), LOST),
    (error(asyncpg.DatabaseDroppedError), REFUSED),
    (error(asyncpg.InvalidAuthorizationSpecificationError), REFUSED),
    (error(asyncpg.InvalidPasswordError), REFUSED),
    (error(asyncpg.InvalidCatalogNameError), REFUSED),
    (error(asyncpg.InsufficientResourcesError), FULL),
    (error(asyncpg.DiskFullError), FULL),
    (error(asyncpg.OutOfMemoryError), FULL),
    (error(asyncpg.TooManyConnectionsError), FULL),
    (error(asyncpg.ConfigurationLimitExceededError), FULL),
    (error(asyncpg.PostgresIOError), FULL),
    (error(asyncpg.SerializationError), BACK),
    (error(asyncpg.DeadlockDetectedError), BACK),
    (error(asyncpg.TransactionRollbackError), BACK),
    (error(asyncpg.TransactionIntegrityConstraintViolationError), BACK),
    (error(asyncpg.LockNotAvailableError), BACK),
    (error(asyncpg.InvalidCachedStatementError), BACK),
    (asyncpg.OutdatedSchemaCacheError("cached"), BACK),
    (error(asyncpg.UndefinedTableError), NOT_SET_UP),
    (error(asyncpg.UndefinedColumnError), NOT_SET_UP),
    (error(asyncpg.InvalidSchemaNameError), NOT_SET_UP),
    (error(asyncpg.InsufficientPrivilegeError), NOT_SET_UP),
    (error(asyncpg.QueryCanceledError), SLOW),
    (error(asyncpg.PostgresSyntaxError), DEFECT),
    (error(asyncpg.UniqueViolationError), DEFECT),
    (error(asyncpg.DataError), DEFECT),
    (asyncpg.InterfaceError("the server expects 1 argument for this query, 0 was passed"), DEFECT),
    (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), DEFECT),
    (_base.DataError("invalid input for query argument $1: 'it was closed'"), DEFECT),
    (ValueError("the connection is closed"), DEFECT),
]


@pytest.mark.parametrize(
    ("raised", "meaning"), MEANINGS, ids=lambda value: getattr(value, "name", repr(value))
)
def test_each_error_has_its_meaning(raised: Exception, meaning: Meaning) -> None:
    assert meaning_of(raised) is meaning


def test_no_class_of_a_failing_server_is_forgotten() -> None:
    """Of SQLSTATE 08 (connection), 53 (resources), 57 (operator) and 40 (rollback) none is a defect."""
    classes = [
        class_
        for _, class_ in inspect.getmembers(asyncpg.exceptions, inspect.isclass)
        if (getattr(class_, "sqlstate", None) or "")[:2] in ("08", "53", "57", "40")
    ]

    assert len(classes) > 20
    assert [class_.__name__ for class_ in classes if meaning_of(error(class_)) is DEFECT] == []


@pytest.mark.parametrize("meaning", [LOST, REFUSED, FULL, BACK, SLOW, NOT_SET_UP])
def test_a_caller_learns_that_the_database_is_the_problem_and_may_repeat(meaning: Meaning) -> None:
    raised = next(raised for raised, its in MEANINGS if its is meaning)
    mapped = map_error(raised)

    assert mapped is not None
    assert (mapped.code, mapped.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert mapped.metadata == {"dependency": "database"}
    assert "send the same call again" in mapped.message


def test_a_defect_is_mapped_to_nothing() -> None:
    assert map_error(ValueError("no connection matter")) is None


def test_a_transaction_is_repeated_only_if_it_did_nothing() -> None:
    repeatable = {meaning for raised, meaning in MEANINGS if is_rolled_back(raised)}
    unknown = {meaning for raised, meaning in MEANINGS if is_connection_lost(raised)}

    assert repeatable == {FULL, BACK, SLOW}
    assert unknown == {LOST, REFUSED}


def test_the_primary_is_asked_when_the_replica_failed_and_not_when_the_query_is_wrong_or_slow() -> None:
    asked = {meaning for raised, meaning in MEANINGS if is_replicas_fault(raised)}
    assert asked == {LOST, REFUSED, FULL, BACK, NOT_SET_UP}
