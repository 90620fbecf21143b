"""Nobody changes the ledger, and whoever gets round that is found."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.support.payment_events import DONE, LOST, MADE, OPENED, PAID, payment, told
from tests.support.races import raced

VERIFY = "select problem from fin.verify_ledger()"


async def books(admin: asyncpg.Connection) -> None:
    for _ in range(2):
        owner = await payment(admin)
        for event in (PAID, MADE, DONE, OPENED, LOST):
            assert await told(admin, owner, event) == "applied"
    await admin.execute("select fin.seal_ledger(now())")
    assert await admin.fetch(VERIFY) == []


@pytest.mark.parametrize("table", ["fin.entries", "fin.postings", "fin.checkpoints"])
@pytest.mark.parametrize("change", ["delete from {}", "truncate {} cascade", "update {} set {} = {}"])
async def test_the_owner_and_the_administrator_are_refused(admin: asyncpg.Connection, table: str, change: str) -> None:
    await books(admin)
    column = {"fin.entries": "amount_cents", "fin.postings": "amount_cents", "fin.checkpoints": "entries"}[table]
    for role in ("postgres", "ecotrips_owner"):
        await admin.execute(f"set role {role}" if role != "postgres" else "reset role")
        with pytest.raises(asyncpg.PostgresError) as refused:
            await admin.execute(change.format(table, column, column))
        assert refused.value.sqlstate in ("PT409", "42501")


TAMPERING = {
    "an amount": "update fin.entries set amount_cents = amount_cents + 1 where entry_type = 'capture_succeeded'",
    "a note": "update fin.entries set note = 'won' where note = 'lost'",
    "a time": "update fin.entries set occurred_at = occurred_at + interval '1 day' where seq = 2",
    "an amount and its hash": """
        update fin.entries e set amount_cents = 1 where seq = 3;
        update fin.entries e set hash = fin.entry_hash(e, fin.postings_text(e.id)) where seq = 3""",
    "a row in the middle": "delete from fin.postings where entry_id in (select id from fin.entries where seq = 3);"
    " delete from fin.entries where seq = 3",
    "the last row": "delete from fin.postings p using fin.entries e where e.id = p.entry_id and seq = 6;"
    " delete from fin.entries where seq = 6",
    "a posting": "delete from fin.postings where line = 2",
    "a balanced pair of postings": "update fin.postings set amount_cents = amount_cents * 2",
    "an account": "update fin.postings set account = replace(account, 'refunds_payable', 'payment')",
    "a balance": "update fin.accounts set balance_cents = balance_cents + 1 where kind = 'payment'",
    "a payment's sum": "update payment.payments set refunded_cents = refunded_cents - 1",
    "a refund's state": "update payment.refunds set status = 'pending'",
    "a root": "update fin.checkpoints set root = sha256('')",
    "a sealed stream": """
        with gone as (select stream_id from fin.entries limit 1)
        delete from fin.postings where entry_id in (
            select id from fin.entries where stream_id = (select stream_id from gone));
        delete from fin.entries where not exists (select from fin.postings where entry_id = fin.entries.id);
        delete from fin.heads where not exists (select from fin.entries where stream_id = heads.stream_id);
        update payment.payments set status = 'processing', captured_cents = 0, refunded_cents = 0""",
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_found(admin: asyncpg.Connection, what: str) -> None:
    await books(admin)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(TAMPERING[what])
    assert await admin.fetch(VERIFY) != []


async def test_postings_that_do_not_balance_are_refused_at_commit(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(
            "select fin.post($1, 'intent_created', 5, 'USD', 'x', array[row('provider_clearing:USD', 5)]::fin.line[])",
            owner,
        )
    assert getattr(refused.value, "constraint_name", None) == "postings_balance"
    assert await admin.fetchval("select count(*) from fin.entries") == 0


async def test_an_account_never_falls_below_zero(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.execute(
            "select fin.post($1::uuid, 'payout_succeeded', 5, 'USD', 'x',"
            " fin.transfer('escrow:' || $1::uuid, 'provider_clearing:USD', 5))",
            owner,
        )
    assert getattr(refused.value, "constraint_name", None) == "account_covered"


async def test_the_same_fact_is_the_first_row_and_a_differing_one_a_conflict(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    post = "select id from fin.post($1, 'intent_created', $2, 'USD', 'pi_1')"
    assert await admin.fetchval(post, owner, 5) == await admin.fetchval(post, owner, 5)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await admin.fetchval(post, owner, 6)
    assert getattr(refused.value, "constraint_name", None) == "ledger_conflict"


async def test_a_seal_waits_for_who_writes_and_nobody_for_it(admin: asyncpg.Connection, database: str) -> None:
    await books(admin)
    owner = await payment(admin)
    writer, sealer = [await asyncpg.connect(database) for _ in range(2)]
    open_one = writer.transaction()
    await open_one.start()
    assert await told(writer, owner, PAID) == "applied"
    with pytest.raises(asyncpg.LockNotAvailableError, match="has been left open"):
        await sealer.execute("select fin.seal_ledger(now())")
    sealing = asyncio.create_task(sealer.fetchval("select entries from fin.seal_ledger(now())"))
    await asyncio.sleep(0.2)
    assert not sealing.done()
    # Whoever comes while it waits does not wait for it.
    await admin.execute("set lock_timeout = '1s'")
    assert await told(admin, await payment(admin), PAID) == "applied"
    await open_one.commit()
    assert await sealing
    assert await admin.fetch(VERIFY) == []
    for connection in (writer, sealer):
        await connection.close()


async def test_a_seal_that_would_not_see_all_is_refused(admin: asyncpg.Connection) -> None:
    async with admin.transaction(isolation="repeatable_read"):
        with pytest.raises(asyncpg.PostgresError, match="read committed"):
            await admin.execute("select fin.seal_ledger(now())")


async def test_two_seals_make_one_chain(admin: asyncpg.Connection, database: str) -> None:
    await books(admin)
    other = await asyncpg.connect(database)
    seal = "select fin.seal_ledger(now())"
    assert not isinstance(await raced(admin, admin.execute(seal), other, other.execute(seal)), Exception)
    await other.close()
    assert await admin.fetch(VERIFY) == []


async def test_what_has_not_cleared_is_reported(admin: asyncpg.Connection) -> None:
    owner = await payment(admin)
    for event in (PAID, MADE, OPENED):
        await told(admin, owner, event)
    await admin.execute("update fin.accounts set updated_at = now() - interval '4 days'")
    found = await admin.fetch("select kind, balance_cents, overdue from fin.clearing order by kind")
    assert [tuple(row) for row in found] == [("disputed", 25000, False), ("refunds_payable", 5000, True)]
