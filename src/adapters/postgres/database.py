"""Calls SQL functions: the caller's claims and one function call in one statement.

Each caller's role has a login role of its own, so Postgres checks every right, and all settings end with the statement.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import cache
from typing import TYPE_CHECKING

import asyncpg

from src.adapters.postgres.errors import RETRIED_CODES, TRANSLATED
from src.database.connections import Source
from src.database.pipeline import Pipeline
from src.database.standby import Standby
from src.domain.context import Context, Role
from src.ports.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGIN_ROLES = {Role.ANONYMOUS: "web_anon", Role.USER: "web_authenticated", Role.SERVICE: "web_service"}
ATTEMPTS = 4


class Database:
    """Calls SQL functions as their caller.

    `pools` has a pool for each role, `switches` is the JSON object of this process's environment switches. Reads go to
    `standbys` if there are any, else quick ones go to `pipelines`.
    """

    def __init__(
        self,
        pools: Mapping[Role, Source],
        switches: str,
        telemetry: Telemetry,
        standbys: Mapping[Role, Standby] | None = None,
        pipelines: Mapping[Role, Pipeline] | None = None,
    ) -> None:
        self._pools = pools
        self._switches = switches
        self._telemetry = telemetry
        self._standbys = standbys or {}
        self._pipelines = pipelines or {}

    async def call(self, context: Context, function: str, /, **arguments: object) -> bytes:
        """The JSON text that `function(**arguments)` returns, run as the caller in one transaction of its own.

        `function` is a qualified name from our own code, `arguments` its named parameters. Serialization failures and
        deadlocks are run again. Raises the domain errors of adapters/postgres/errors.py.
        """
        if context.claim is None:
            statement, values = call_statement(function, tuple(arguments)), tuple(arguments.values())
        else:
            statement, values = _kept_statement(function, tuple(arguments)), (*arguments.values(), context.claim)
        with self._telemetry.step(function, **{"db.system.name": "postgresql"}):
            text = await self.value(context, statement, *values)
        return str(text).encode()

    async def read(self, context: Context, function: str, /, **arguments: object) -> bytes:
        """The same for a function that changes nothing: on the standby when it has all that is committed by now."""
        role = context.caller.role
        standby, pipeline = self._standbys.get(role), self._pipelines.get(role)
        statement = call_statement(function, tuple(arguments))
        values = (*self._settings(context), *arguments.values())
        if standby is not None:
            with TRANSLATED, self._telemetry.step(function, **{"db.system.name": "postgresql"}):
                row = await standby.row(statement, *values)
            return str(row[0]).encode() if row is not None else await self.call(context, function, **arguments)
        if pipeline is None:
            return await self.call(context, function, **arguments)
        with TRANSLATED, self._telemetry.step(function, **{"db.system.name": "postgresql"}):
            answer = pipeline.ask(statement, values)
            if answer is not None and (texts := await answer) is not None:
                return texts[0] or b""
            async with self._pools[role].acquire() as connection:
                began = time.monotonic()
                text = await connection.fetchval(statement, *values)
                pipeline.observe_pooled(statement, time.monotonic() - began)
            return str(text).encode()

    async def value(self, context: Context, statement: str, /, *arguments: object) -> object:
        """The single value of a statement whose $1, $2 and $3 are the claims, the request id and the switches."""
        with TRANSLATED:
            for attempt in range(ATTEMPTS):
                try:
                    async with self._pools[context.caller.role].acquire() as connection:
                        return await connection.fetchval(statement, *self._settings(context), *arguments)
                except asyncpg.PostgresError as error:
                    if error.sqlstate not in RETRIED_CODES or attempt == ATTEMPTS - 1:
                        raise
                await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret
        raise AssertionError

    async def close(self) -> None:
        for pipeline in self._pipelines.values():
            pipeline.close()
        for pool in self._pools.values():
            await pool.close()
        for standby in self._standbys.values():
            await standby.close()

    def _settings(self, context: Context) -> tuple[str, str, str]:
        return context.caller.claims, context.request_id, self._switches


SETTINGS = (
    "with s as materialized (select set_config('request.jwt.claims', $1, true), set_config('request.id', $2, true),"
    " set_config('request.switches', $3, true))"
)


@cache
def call_statement(function: str, names: tuple[str, ...]) -> str:
    parameters = ", ".join(f"{name} => ${number}" for number, name in enumerate(names, start=4))
    return f"{SETTINGS} select {function}({parameters})::text from s"  # noqa: S608 - names from our code only


@cache
def _kept_statement(function: str, names: tuple[str, ...]) -> str:
    parameters = ", ".join(f"{name} => ${number}" for number, name in enumerate(names, start=4))
    claim = f"${len(names) + 4}"
    return f"{SETTINGS} select ops.keep_first_answer({claim}, {function}({parameters})) from s"  # noqa: S608 - likewise
