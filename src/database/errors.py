"""What the ground floor raises of its own, and which failures of the server mean that it is away."""

from __future__ import annotations

from types import TracebackType

import asyncpg

# A connection that raised one of these is not used again. asyncpg raises InternalClientError, which is no
# InterfaceError, for what comes while it connects or after it was closed, and for hosts of which none takes writes.
# Time-outs are OSErrors.
BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
# All that asking the database can raise.
FAILED = (asyncpg.PostgresError, *BROKEN)
# SQLSTATE classes and codes that mean "try again": connection lost, resources, lock or statement time-outs,
# shutdown, serialization failure, deadlock. A read-only server (a standby just promoted elsewhere) too.
TRANSIENT_CLASSES = frozenset({"08", "53", "57", "58"})
TRANSIENT_CODES = frozenset({"40001", "40P01", "55P03", "25006"})
AWAY = "The service is temporarily unavailable"


class DatabaseUnavailable(Exception):
    """The database is away or busy: try again. The message is for clients; the cause says what was wrong."""


class PoolTimeout(DatabaseUnavailable):
    """No connection became free in time."""


class RefusedConnection(DatabaseUnavailable):
    """The server let this process not in, whatever for: it was asked for nothing yet, so no caller is at fault."""

    def __init__(self, reason: asyncpg.PostgresError) -> None:
        super().__init__(AWAY)
        self.reason = reason

    @property
    def lasts(self) -> bool:
        """Whether somebody has to mend it: a login, a right or a name, not a server that starts, stops or is full."""
        return not is_transient(self.reason)


def unavailable(error: BaseException) -> DatabaseUnavailable | None:
    """The failure as this floor's own, with what it was as its cause; None when it is of another kind."""
    if isinstance(error, DatabaseUnavailable):
        return error
    if isinstance(error, BROKEN) or (isinstance(error, asyncpg.PostgresError) and is_transient(error)):
        away = DatabaseUnavailable(AWAY)
        away.__cause__ = error
        return away
    return None


def is_transient(error: asyncpg.PostgresError) -> bool:
    """Whether the same statement may succeed later."""
    code = error.sqlstate or ""
    return code[:2] in TRANSIENT_CLASSES or code in TRANSIENT_CODES


def refusal_of(error: BaseException) -> RefusedConnection | None:
    """The refusal that lasts in an error, or in what another layer raised from one."""
    for found in (error, error.__cause__):
        if isinstance(found, RefusedConnection) and found.lasts:
            return found
    return None


def says_that_it_is_away(error: BaseException) -> bool:
    """Whether an error, or what another layer raised from it, is DatabaseUnavailable."""
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
