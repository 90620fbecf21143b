"""State machines in SQL: which moves a table lets anybody make, whatever state its row is in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import permutations

import asyncpg

from tests.support.races import rule_of


async def moves(
    admin: asyncpg.Connection, table: str, states: Mapping[str, str], rule: str, more: str = ""
) -> set[tuple[str, str]]:
    """The moves that are made of the one row of a table; all others break the rule.

    `states` gives each state the assignments without which no row can be in it, `more` those of every move.
    """
    made = set()
    for before, after in permutations(states, 2):
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("set local session_replication_role = replica")
        await admin.execute(f"update {table} set status = '{before}' {states[before]}")
        await admin.execute("set local session_replication_role = origin")
        move = admin.execute(f"update {table} set status = '{after}' {states[after]} {more}")
        (outcome,) = await asyncio.gather(move, return_exceptions=True)
        if isinstance(outcome, str):
            made.add((before, after))
        else:
            assert rule_of(outcome) == rule, (before, after, outcome)
        await transaction.rollback()
    return made
