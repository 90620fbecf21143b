"""Translates Postgres errors to domain errors by SQLSTATE, and by constraint name where the SQLSTATE does not tell.

The messages that our own functions raise are written for clients; other database texts stay in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import asyncpg

from src.database.errors import unavailable
from src.domain.errors import Conflict, DomainError, InProgress, InputInvalid, NotAllowed, NotFound, Unavailable

# By the SQLSTATE that our own functions raise with; http/problems.py has the status of each.
MEANINGS: Mapping[str, type[DomainError]] = {
    "PT400": InputInvalid,
    "PT403": NotAllowed,
    "PT404": NotFound,
    "PT409": Conflict,
    "42501": NotAllowed,
}
# Rules whose SQLSTATE is not specific enough.
RULES: Mapping[str, type[DomainError]] = {
    "flag_value_known": InputInvalid,
    "idempotency_key_in_use": InProgress,
    "payout_once": Conflict,
    "read_committed": Conflict,
    "refunds_within_captured": Conflict,
}

RETRIED_CODES = frozenset({"40001", "40P01"})


class Translated:
    """Inside this block, database errors that have a meaning are raised as domain errors."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        meaning = meaning_of(error) if isinstance(error, asyncpg.PostgresError) else None
        if meaning is not None:
            raise meaning from error
        away = unavailable(error)
        if away is not None:
            raise Unavailable(str(away)) from away


# One instance serves all, as it has no state.
TRANSLATED = Translated()


def meaning_of(error: asyncpg.PostgresError) -> DomainError | None:
    """The domain error of a broken rule or a missing right, or None."""
    code, rule = error.sqlstate or "", getattr(error, "constraint_name", None)
    if code == "42501" and rule is None:
        return NotAllowed("Not allowed")
    meaning = RULES.get(rule or "") or MEANINGS.get(code)
    if meaning is None:
        return None
    return meaning(getattr(error, "message", "") if code in MEANINGS else "The request breaks a rule of the data")
