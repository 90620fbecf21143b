"""Runs prepared requests in one statement if possible, else in a transaction."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from src.rest.errors import RestError, key_mismatch, not_singular, too_many_affected
from src.rest.ports import Identity, Visible
from src.rest.protocol.media import SINGULAR_KINDS, Media
from src.rest.protocol.preferences import NO_PREFERENCES
from src.rest.protocol.prepared import Prepared, ResultSet
from src.rest.protocol.request import Action, ActionKind, Configuration, Job, Request
from src.rest.run.binding import Binder
from src.rest.run.failures import as_rest_errors, denied, rest_error
from src.rest.run.results import result_of

Connection = asyncpg.Connection
# The sender buffers a few pieces of a stream, so these bound its memory.
PIECE_BYTES = 64 * 1024
PIECE_ROWS = 500
LIMITED = (ActionKind.UPDATE, ActionKind.DELETE, ActionKind.CALL)

VISIBLE_RELATIONS = """
select c.relname from pg_class c
where c.relkind in ('v', 'r', 'm', 'f', 'p') and not c.relispartition and c.relnamespace = quote_ident($1)::regnamespace
  and (pg_has_role(c.relowner, 'usage')
    or has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
    or has_any_column_privilege(c.oid, 'select, insert, update, references'))
"""
VISIBLE_FUNCTIONS = """
select p.oid::int8 from pg_proc p
where p.prokind = 'f' and p.pronamespace = quote_ident($1)::regnamespace and has_function_privilege(p.oid, 'execute')
"""


RIGHTS = {
    ActionKind.READ: "select",
    ActionKind.CREATE: "insert",
    ActionKind.UPSERT: "insert",
    ActionKind.UPDATE: "update",
}
# The object that Postgres' error for the role $1 (null: the connection's own) would name; no row for missing objects.
MISSING_RIGHT_TO_RELATION = """
select case
  when not has_schema_privilege(r.oid, n.oid, 'usage') then 'schema ' || n.nspname
  when not has_any_column_privilege(r.oid, c.oid, $4) then
    case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'f' then 'foreign table '
      else 'table ' end || c.relname
  end
from pg_roles r, pg_namespace n join pg_class c on c.relnamespace = n.oid
where r.rolname = coalesce($1, current_user) and n.nspname = $2 and c.relname = $3
"""
MISSING_RIGHT_TO_CALL = """
select case
  when not has_schema_privilege(r.oid, n.oid, 'usage') then 'schema ' || n.nspname
  when not bool_or(has_function_privilege(r.oid, p.oid, $4)) then 'function ' || p.proname
  end
from pg_roles r, pg_namespace n join pg_proc p on p.pronamespace = n.oid
where r.rolname = coalesce($1, current_user) and n.nspname = $2 and p.proname = $3
group by r.oid, n.oid, n.nspname, p.proname
"""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What a transaction needs besides its caller. `of_function` are settings a function asks to be made for it."""

    schema: str
    read_only: bool = True
    isolation: str | None = None
    timezone: str | None = None
    of_function: tuple[tuple[str, str], ...] = ()


class Sessions(Protocol):
    """Connections and transactions set up for a caller."""

    # Whether the caller's settings may be part of a statement.
    in_one_statement: bool

    def is_anonymous(self, identity: Identity) -> bool:
        """Whether the caller has the role of requests without a token."""

    def role(self, identity: Identity) -> str:
        """The database role of the caller's statements."""

    async def row(self, identity: Identity, statement: str, arguments: list[object]) -> ResultSet:
        """The single row of a statement that contains the caller's settings."""

    async def value(self, identity: Identity, question: str, arguments: list[object]) -> object:
        """A value of the catalog for the caller's role.

        The first parameter of the query is that role, null for the connection's own role.
        """

    async def read(self, identity: Identity, statement: str, arguments: list[object]) -> ResultSet:
        """Like `row`, for a read, which may run twice, and on a standby."""

    def transaction(
        self, request: Request, identity: Identity, settings: LocalSettings
    ) -> AbstractAsyncContextManager[Connection]:
        """A transaction with the caller's settings, committed at the end of the block."""


class RollBack(Exception):
    """Rolls a transaction back."""


class Runner:
    """Runs prepared requests through `sessions`."""

    def __init__(self, sessions: Sessions, binder: Binder, configuration: Configuration) -> None:
        self._sessions = sessions
        self._binder = binder
        self._configuration = configuration

    async def run(self, job: Job, prepared: Prepared, identity: Identity) -> ResultSet:
        """Raises RestError for database errors and for results that the client refused."""
        if prepared.exact is not None and self._sessions.role(identity) not in prepared.seers:
            prepared = prepared.exact
        try:
            if prepared.single and self._sessions.in_one_statement and self._simple(job):
                arguments = self._binder.arguments(prepared.single_slots, job, identity)
                ask = self._sessions.read if job.action.kind is ActionKind.READ else self._sessions.row
                result = await ask(identity, prepared.single, arguments)
                _check(job, prepared, result)
                return result
            return await self._in_transaction(job, prepared, identity)
        except RestError:
            raise
        except Exception as error:
            raise rest_error(error, anonymous=self._sessions.is_anonymous(identity)) from error

    def _simple(self, job: Job) -> bool:
        """Whether one statement is enough: nothing to undo, and no other settings."""
        preferences = job.preferences
        if preferences is NO_PREFERENCES and job.action.by_get:
            return True
        undone = (
            job.action.kind is ActionKind.CALL
            and not job.action.by_get
            and (preferences.max_affected is not None or any(media.kind in SINGULAR_KINDS for media in job.accept))
        )
        return not undone and preferences.timezone is None and preferences.transaction is None

    async def _in_transaction(self, job: Job, prepared: Prepared, identity: Identity) -> ResultSet:
        settings = _settings(job, prepared)
        arguments = self._binder.arguments(prepared.slots, job, identity)
        result = ResultSet()
        try:
            async with self._sessions.transaction(job.request, identity, settings) as connection:
                if prepared.guard:
                    await connection.execute(prepared.guard)
                if prepared.media.kind is Media.PLAN:
                    rows = await connection.fetch(prepared.statement, *arguments)
                    result = ResultSet("".join(f"{row[0]}\n" for row in rows).encode())
                else:
                    result = result_of(await connection.fetchrow(prepared.statement, *arguments))
                    _check(job, prepared, result)
                if prepared.explain:
                    explain_arguments = self._binder.arguments(prepared.explain_slots, job, identity)
                    guess = await connection.fetchval(prepared.explain, *explain_arguments)
                    result = result._replace(total=self._total(result.total, guess))
                await self._undo(job, connection)
        except RollBack:
            pass
        return result

    def _total(self, counted: int | None, plan: str) -> int | None:
        """The planner's estimate, or the larger of it and a capped count."""
        guess = int(json.loads(plan)[0]["Plan"]["Plan Rows"])
        if counted is None:
            return guess
        max_rows = self._configuration.max_rows
        return max(counted, guess) if max_rows is None or counted > max_rows else counted

    async def _undo(self, job: Job, connection: Connection) -> None:
        """Raise RollBack if the transaction must not be kept, after its deferred checks."""
        if (job.preferences.transaction or self._configuration.transaction_end) == "rollback":
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            raise RollBack

    async def stream(self, job: Job, prepared: Prepared, identity: Identity) -> AsyncGenerator[bytes]:
        """Rows by a cursor; the size of a fetch follows from the length of earlier rows."""
        arguments = self._binder.arguments(prepared.slots, job, identity)
        settings = _settings(job, prepared)
        with as_rest_errors(anonymous=self._sessions.is_anonymous(identity)), contextlib.suppress(RollBack):
            async with self._sessions.transaction(job.request, identity, settings) as connection:
                if prepared.guard:
                    await connection.execute(prepared.guard)
                cursor = await connection.cursor(prepared.statement, *arguments)
                at_once = 10
                while rows := await cursor.fetch(at_once):
                    piece = "".join(f"{row[0]}\n" for row in rows).encode()
                    yield piece
                    at_once = min(max(len(rows) * PIECE_BYTES // len(piece), 1), PIECE_ROWS)
                await self._undo(job, connection)

    async def require(self, action: Action, identity: Identity) -> None:
        """Raises RestError when the caller lacks the right for the action."""
        anonymous = self._sessions.is_anonymous(identity)
        with as_rest_errors(anonymous=anonymous):
            question = MISSING_RIGHT_TO_CALL if action.kind is ActionKind.CALL else MISSING_RIGHT_TO_RELATION
            right = RIGHTS.get(action.kind, "execute")
            missing = await self._sessions.value(identity, question, [*action.name, right])
        if missing is not None:
            raise denied(str(missing), anonymous=anonymous)

    async def visible(self, request: Request, schema: str, identity: Identity) -> Visible:
        """The relations and functions of a schema on which the caller has any right."""
        with as_rest_errors(anonymous=self._sessions.is_anonymous(identity)):
            async with self._sessions.transaction(request, identity, LocalSettings(schema)) as connection:
                relations = await connection.fetch(VISIBLE_RELATIONS, schema)
                functions = await connection.fetch(VISIBLE_FUNCTIONS, schema)
        return Visible(frozenset(row[0] for row in relations), frozenset(row[0] for row in functions))


def _settings(job: Job, prepared: Prepared) -> LocalSettings:
    routine = prepared.routine
    return LocalSettings(
        job.action.name.schema,
        read_only=prepared.read_only,
        isolation=routine.isolation if routine else None,
        timezone=job.preferences.timezone,
        of_function=routine.settings if routine else (),
    )


def _check(job: Job, prepared: Prepared, result: ResultSet) -> None:
    """Refuse results that the client said it does not want; inside a transaction this undoes them."""
    kind, preferences = job.action.kind, job.preferences
    if result.page_total != 1:
        if kind is ActionKind.UPSERT:
            raise key_mismatch()
        if prepared.media.kind in SINGULAR_KINDS:
            raise not_singular(result.page_total)
    max_affected = preferences.max_affected
    if max_affected is not None and preferences.strict and kind in LIMITED and result.page_total > max_affected:
        raise too_many_affected(result.page_total)
