"""`ecotrips ledger verify` and `reconcile` find what is wrong, and only that; what was taken in part, and fees."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from src.settings import OFFLINE_SWITCHES
from tests.conftest import ITINERARY
from tests.http.conftest import Live
from tests.support.guides import blocks
from tests.support.postgres import JWT_SECRET
from tests.support.processes import ROOT, ecotrips, environment


async def ledger(live: Live, command: str) -> tuple[int, list[str]]:
    """Its exit status and what it prints."""
    stripe = {"STRIPE_SECRET_KEY": "sk_test", "STRIPE_API_BASE": str(live.changes["stripe_api_base"])}
    done = await asyncio.to_thread(
        ecotrips, ROOT, "ledger", command, DATABASE_URL=live.database, **OFFLINE_SWITCHES, **stripe
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


async def test_verify_names_what_was_tampered_with(live: Live) -> None:
    payments = [await live.paid(), await live.paid(idempotency_key="other")]
    none_yet = "newest root none yet: the worker seals each day once it is over, by UTC"
    assert await ledger(live, "verify") == (0, [f"0 faults in 4 facts; {none_yet}"])
    # On the first day there is a root of nothing.
    await live.admin.execute("select fin.seal_ledger()")
    day = await live.admin.fetchval("select to_char(now() at time zone 'UTC', 'YYYY-MM-DD')")
    status, (line,) = await ledger(live, "verify")
    root = f"newest root [0-9a-f]{{64}} \\(0 facts before {day} 00:00 UTC\\)"
    assert (status, re.fullmatch(f"0 faults in 4 facts; {root}", line) is not None) == (0, True), line
    await live.admin.execute("set session_replication_role = replica")
    await live.admin.execute(
        "update fin.entries set amount_cents = 1 where entry_type = 'capture_succeeded' and payment_id = $1::uuid",
        payments[1]["payment_id"],
    )
    status, lines = await ledger(live, "verify")
    assert (status, lines[-1].partition("; ")[0]) == (1, "2 faults in 4 facts")
    assert sorted(lines[:-1]) == [
        f"{payments[1]['payment_id']} 2 the hash does not fit the row and its postings",
        f"{payments[1]['payment_id']} the payment's sums are not those of its ledger",
    ]


def test_it_looks_back_for_days_that_there_are(tmp_path: Path) -> None:
    for days in ("0", "-5", "4000000", "1e3", "9" * 5000, "\u0665"):
        done = ecotrips(tmp_path, "ledger", "reconcile", "--days", days)
        assert (done.returncode, done.stdout) == (2, ""), days
        assert "is no whole number from 1 to " in done.stderr


async def test_reconcile_without_a_provider_names_the_setting(live: Live) -> None:
    given = {"DATABASE_URL": live.database, **OFFLINE_SWITCHES}
    done = await asyncio.to_thread(ecotrips, ROOT, "ledger", "reconcile", **given)
    assert (done.returncode, done.stderr[:40]) == (1, "ecotrips: STRIPE_SECRET_KEY is not set: "), done.stderr


async def test_reconcile_lists_a_refund_that_we_do_not_know_until_its_event_comes(live: Live) -> None:
    payment = await live.paid()
    assert await ledger(live, "reconcile") == (0, [said(0)])
    live.stripe.refund_in_dashboard(payment["payment_intent"], 7000)
    # Found also when the payment itself is old.
    await live.admin.execute("set session_replication_role = replica")
    await live.admin.execute("update payment.payments set updated_at = now() - interval '1 year'")
    live.stripe.intents[payment["payment_intent"]]["created"] -= 365 * 86400
    assert await ledger(live, "reconcile") == (1, [line(payment, 25000, 0, 25000, 7000), said(1)])
    await live.tell(live.stripe.events[-1])
    assert await ledger(live, "reconcile") == (0, [said(0)])


async def test_reconcile_lists_money_that_the_books_have_and_the_provider_has_not_and_the_reverse(live: Live) -> None:
    payment = await live.paid()
    live.stripe.intents[payment["payment_intent"]]["amount_received"] = 24000
    stranger = live.stripe._create_intent({"amount": "900", "currency": "usd"})  # noqa: SLF001 - made by somebody else
    live.stripe.confirm(stranger["id"])
    status, lines = await ledger(live, "reconcile")
    unknown = f"payment unknown intent {stranger['id']}: books: nothing; provider: taken 900, given back 0"
    assert (status, set(lines)) == (1, {line(payment, 25000, 0, 24000, 0), unknown, said(2, 2)})


async def test_a_payment_that_was_made_after_the_backup_comes_back_as_the_page_says(live: Live) -> None:
    lost = live.stripe._create_intent({  # noqa: SLF001 - of an installation whose books are gone
        "amount": "27700", "currency": "usd", "metadata": {"payment_id": str(uuid4())}
    })  # fmt: skip
    live.stripe.confirm(lost["id"])
    early = live.stripe.events[-1]
    assert (await live.tell(early)).json()["result"] == "deferred"
    telling = blocks("docs/scale.md", "sh", "## Backup\n")[2]
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/bash", "-euo", "pipefail", "-c", telling.replace("<itinerary>", ITINERARY).replace("<pi>", lost["id"])],
        env=environment(DATABASE_URL=live.database, JWT_SECRET=JWT_SECRET)
        | {"STRIPE_MOCK_MODE": "0", "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (await live.sums()) == (27700, 0, 0)
    assert (await live.tell(early)).json()["result"] == "duplicate"
    assert await ledger(live, "reconcile") == (0, [said(0)])


async def test_reconcile_lists_an_intent_for_which_the_provider_does_not_answer(live: Live) -> None:
    payment = await live.paid()
    del live.stripe.intents[payment["payment_intent"]]
    status, lines = await ledger(live, "reconcile")
    assert status == 1
    assert lines[0].endswith("books: taken 25000, given back 0; provider: no answer (resource_missing)")


def said(differences: int, payments: int = 1) -> str:
    since = datetime.now(UTC) - timedelta(days=7)
    return (
        f"{differences} difference{'s' * (differences != 1)} in {payments} payment{'s' * (payments != 1)}"
        f" since {since:%Y-%m-%d}"
    )


def line(payment: dict[str, Any], taken: int, given_back: int, there: int, back_there: int) -> str:
    return (
        f"payment {payment['payment_id']} intent {payment['payment_intent']}: books: taken {taken}, given back"
        f" {given_back}; provider: taken {there}, given back {back_there}"
    )


async def test_what_the_provider_took_in_part_is_booked_and_refunded_as_that_part(live: Live) -> None:
    payment = (await live.checkout()).json()
    live.stripe.confirm(payment["payment_intent"], received=20000)
    assert (await live.tell(live.stripe.events[-1])).json()["result"] == "applied"
    assert await live.sums() == (20000, 0, 0)
    assert (await live.refund(payment, 20001)).status_code == 400
    assert (await live.refund(payment, 20000)).json()["status"] == "refunded"
    assert await ledger(live, "reconcile") == (0, [said(0)])


async def test_more_than_the_amount_is_not_booked(live: Live) -> None:
    payment = (await live.checkout()).json()
    live.stripe.confirm(payment["payment_intent"], received=25001)
    assert (await live.tell(live.stripe.events[-1])).json()["result"] == "deferred"
    assert await live.sums() == (0, 0, 0)


async def test_a_fee_is_booked_once_in_the_currency_it_was_charged_in(live: Live) -> None:
    payment = await live.paid()
    fee = {"payment_id": payment["payment_id"], "entry_type": "fee_charged", "amount_cents": 755, "currency": "EUR"}
    made = [await live.api.post("fin-ledger-append", fee | {"provider_ref": "txn_1"}, live.api.service) for _ in "ab"]
    assert made[0].json()["entry_id"] == made[1].json()["entry_id"]
    other = fee | {"provider_ref": "txn_1", "amount_cents": 756}
    assert (await live.api.post("fin-ledger-append", other, live.api.service)).status_code == 409
    query = "select account, sum(amount_cents)::int as cents from fin.postings group by account order by account"
    assert {row["account"]: row["cents"] for row in await live.admin.fetch(query)} == {
        "fees:EUR": 755,
        "provider_clearing:EUR": -755,
        f"payment:{payment['payment_id']}": -25000,
        "provider_clearing:USD": 25000,
    }
    assert await live.sums() == (25000, 0, 0)
