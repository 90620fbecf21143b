"""Errors of this package, and which errors of the server mean that it is away."""

from __future__ import annotations

from types import TracebackType

import asyncpg

# Connections that raised one of these are not used again. asyncpg raises InternalClientError while it connects, after a
# close, and when no host takes writes. Timeouts are OSErrors.
BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
# Everything that a query can raise.
FAILED = (asyncpg.PostgresError, *BROKEN)
# SQLSTATEs that mean "try again": connection lost, resources, timeouts, shutdown, serialization failure, deadlock, and
# a read-only server after a failover.
TRANSIENT_CLASSES = frozenset({"08", "53", "57", "58"})
TRANSIENT_CODES = frozenset({"40001", "40P01", "55P03", "25006"})
AWAY = "The service is temporarily unavailable"


class DatabaseUnavailable(Exception):
    """The database is away or busy. The message is for clients, the cause has the details."""


class PoolTimeout(DatabaseUnavailable):
    """No connection became free in time."""


class RefusedConnection(DatabaseUnavailable):
    """The server refused a connection; no caller caused that."""

    def __init__(self, reason: asyncpg.PostgresError) -> None:
        super().__init__(AWAY)
        self.reason = reason

    @property
    def lasts(self) -> bool:
        """Whether an administrator has to act (a login, a right, a name), not just time to pass."""
        return not is_transient(self.reason)


def unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """DatabaseUnavailable with the error as its cause; None for errors of other kinds."""
    if isinstance(error, DatabaseUnavailable):
        return error
    if isinstance(error, BROKEN) or (isinstance(error, asyncpg.PostgresError) and is_transient(error)):
        away = DatabaseUnavailable(AWAY)
        away.__cause__ = error
        return away
    return None


def is_transient(error: asyncpg.PostgresError) -> bool:
    """Whether a retry of the statement may succeed."""
    code = error.sqlstate or ""
    return code[:2] in TRANSIENT_CLASSES or code in TRANSIENT_CODES


def refusal_of(error: BaseException) -> RefusedConnection | None:
    """The lasting refusal in an error or its causes."""
    for found in (error, error.__cause__):
        if isinstance(found, RefusedConnection) and found.lasts:
            return found
    return None


def says_that_it_is_away(error: BaseException) -> bool:
    """Whether an error, or one of its causes, is DatabaseUnavailable."""
    return isinstance(error, DatabaseUnavailable) or isinstance(error.__cause__, DatabaseUnavailable)


class TranslatedToUnavailable:
    """Inside this block, what means that the database is away leaves as DatabaseUnavailable."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        away = None if error is None else unavailable(error)
        if away is not None and away is not error:
            raise away from error
