"""Numbers without gaps, frozen content, and one document for each fact, under every kind of competition."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, OPS_USER, TRAVELLER, as_role
from tests.support.money import captured, refunded
from tests.support.persons import make_person
from tests.support.races import rule_of

ISSUE = "select public.generate_invoice($1, $2)"


async def issued(connection: asyncpg.Connection, payment: UUID, kind: str = "invoice") -> dict[str, Any]:
    answer = json.loads(await connection.fetchval(ISSUE, kind, payment))
    assert isinstance(answer, dict)
    return answer


async def issued_at(admin: asyncpg.Connection, payment: UUID, at: datetime, timezone: str = "Africa/Kigali") -> str:
    text = await admin.fetchval("select fin.issue_document('invoice', $1, null, $2, false, $3)", payment, timezone, at)
    return str(json.loads(text)["number"])


async def test_32_issuers_with_rollbacks_leave_no_gap_and_no_duplicate(
    database: str, admin: asyncpg.Connection
) -> None:
    waiting = await captured(admin, 500)
    chance = random.Random(5)
    rolled_back = 0

    async def issue(connection: asyncpg.Connection) -> None:
        nonlocal rolled_back
        while waiting:
            payment = waiting.pop()
            transaction = connection.transaction()
            await transaction.start()
            await issued(connection, payment)
            if chance.random() < 0.1:
                await transaction.rollback()
                rolled_back += 1
                waiting.append(payment)
            else:
                await transaction.commit()

    async with AsyncExitStack() as stack:
        issuers = [await stack.enter_async_context(as_role(database, Role.SERVICE)) for _ in range(32)]
        await asyncio.gather(*map(issue, issuers))
    assert rolled_back > 20
    numbers = [row["number"] for row in await admin.fetch("select number from fin.invoices order by number")]
    day = numbers[0][4:12]
    assert numbers == [f"INV-{day}-{number:04d}" for number in range(1, 501)]
    assert await admin.fetchval("select count(*) from audit.events where what = 'invoice.issued'") == 500


async def test_one_payment_raced_for_by_many_gets_one_invoice(database: str, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    async with AsyncExitStack() as stack:
        issuers = [await stack.enter_async_context(as_role(database, Role.SERVICE)) for _ in range(8)]
        answers = await asyncio.gather(*(issued(issuer, payment) for issuer in issuers))
    assert len({answer["number"] for answer in answers}) == 1
    assert sorted(answer["reused"] for answer in answers) == [False] + [True] * 7


async def test_one_refund_raced_for_by_many_gets_one_credit_note(database: str, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    await refunded(admin, payment, 5000)
    async with AsyncExitStack() as stack:
        issuers = [await stack.enter_async_context(as_role(database, Role.SERVICE)) for _ in range(8)]
        await asyncio.gather(*(issued(issuer, payment, "credit_note") for issuer in issuers))
    assert await admin.fetchval("select count(*) from fin.invoices") == 1


async def test_the_day_is_that_of_the_business_time_zone(admin: asyncpg.Connection) -> None:
    payments = await captured(admin, 4)
    before = datetime(2026, 3, 31, 21, 59, 59, 999999, UTC)  # 23:59:59 in Kigali
    midnight = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
    assert await issued_at(admin, payments[0], before) == "INV-20260331-0001"
    assert await issued_at(admin, payments[1], midnight) == "INV-20260401-0001"
    assert await issued_at(admin, payments[2], before) == "INV-20260331-0002"
    assert await issued_at(admin, payments[3], midnight, "UTC") == "INV-20260331-0003"


async def test_after_9999_numbers_have_five_digits(admin: asyncpg.Connection) -> None:
    at = datetime(2026, 3, 31, 12, tzinfo=UTC)
    await admin.execute("insert into fin.number_series values ('INV', '2026-03-31', 9998)")
    numbers = [await issued_at(admin, payment, at) for payment in await captured(admin, 4)]
    assert numbers == ["INV-20260331-9999", "INV-20260331-10000", "INV-20260331-10001", "INV-20260331-10002"]


async def test_each_refund_gets_one_credit_note_the_latest_first(admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    number = (await issued(admin, payment))["number"]
    await refunded(admin, payment, 5000)
    first = await issued(admin, payment, "credit_note")
    await admin.execute("select public.record_invoice_document($1, $2)", UUID(first["invoice_id"]), "0" * 64)
    await refunded(admin, payment, 3000)
    await refunded(admin, payment, 2000)
    notes = [first]
    for _ in range(2):
        notes.append(await issued(admin, payment, "credit_note"))
        await admin.execute("select public.record_invoice_document($1, $2)", UUID(notes[-1]["invoice_id"]), "0" * 64)
    assert [(note["number"], note["total_cents"]) for note in notes] == [
        (f"{number}-CN", 5000),
        (f"{number}-CN2", 2000),
        (f"{number}-CN3", 3000),
    ]
    assert notes[0]["content"]["invoice"]["number"] == number
    with pytest.raises(asyncpg.PostgresError) as error:
        await issued(admin, payment, "credit_note")
    assert error.value.sqlstate == "PT409"


async def test_a_credit_note_without_invoice_has_a_series_of_its_own(admin: asyncpg.Connection) -> None:
    payments = await captured(admin, 2)
    numbers = []
    for payment in payments:
        await refunded(admin, payment, 5000)
        numbers.append((await issued(admin, payment, "credit_note"))["number"])
    day = numbers[0][3:11]
    assert numbers == [f"CN-{day}-0001", f"CN-{day}-0002"]


async def test_a_refund_that_failed_after_all_is_not_credited(admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    refund = await refunded(admin, payment, 5000)
    await admin.execute("select payment.settle_refund($1, 'failed')", refund)
    with pytest.raises(asyncpg.PostgresError) as error:
        await issued(admin, payment, "credit_note")
    assert getattr(error.value, "constraint_name", None) == "refund_to_credit"


async def test_a_credit_note_that_never_became_a_document_is_given_again(admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    await refunded(admin, payment, 5000)
    first, again = [await issued(admin, payment, "credit_note") for _ in range(2)]
    assert (again["number"], again["reused"]) == (first["number"], True)


async def test_what_was_issued_never_changes(admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    invoice = await issued(admin, payment)
    for change in (
        "update fin.invoices set total_cents = 1",
        "update fin.invoices set number = 'INV-1'",
        """update fin.invoices set content = content || '{"total_cents": 1}'""",
        "delete from fin.invoices",
        "truncate fin.invoices",
    ):
        with pytest.raises(asyncpg.PostgresError) as error:
            await admin.execute(change)
        assert error.value.sqlstate == "PT409", change
    await admin.execute("select public.record_invoice_document($1, $2)", UUID(invoice["invoice_id"]), "a" * 64)
    await admin.execute("select public.record_invoice_document($1, $2)", UUID(invoice["invoice_id"]), "a" * 64)
    with pytest.raises(asyncpg.PostgresError) as error:
        await admin.execute("select public.record_invoice_document($1, $2)", UUID(invoice["invoice_id"]), "b" * 64)
    assert getattr(error.value, "constraint_name", None) == "invoice_fixed"


async def test_later_changes_of_seller_and_booking_do_not_reach_an_issued_document(admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    before = (await issued(admin, payment))["content"]
    assert before["buyer"]["name"] == "Amina Uwase"
    await admin.execute("select fin.set_seller('New', 'Here', 'T1', 'a@b.c', 'RW', 'VAT', 1800)")
    await admin.execute("update booking.itineraries set traveler = null where id = $1", UUID(ITINERARY))
    await refunded(admin, payment, 11800)
    assert (await issued(admin, payment))["content"] == before
    note = (await issued(admin, payment, "credit_note"))["content"]
    assert (note["seller"], note["buyer"], note["tax"]["rate_bp"]) == (before["seller"], before["buyer"], 0)


async def test_the_tax_is_part_of_the_price(admin: asyncpg.Connection) -> None:
    await admin.execute("select fin.set_seller('eco', 'Here', 'T1', 'a@b.c', 'RW', 'VAT', 1800)")
    for cents, tax in ((11800, 1800), (25000, 3814), (1, 0), (3, 0), (4, 1), (10**12, 152542372881)):
        found = json.loads(
            await admin.fetchval("""select fin.tax_within($1, '{"name":"VAT","rate_bp":1800}')""", cents)
        )
        assert (found["tax_cents"], found["net_cents"]) == (tax, cents - tax)


async def test_items_are_lines_when_they_add_up_and_one_line_otherwise(admin: asyncpg.Connection) -> None:
    total = await admin.fetchval("select sum(price_cents) from booking.items where itinerary_id = $1", UUID(ITINERARY))
    items = await admin.fetchval("select count(*) from booking.items where itinerary_id = $1", UUID(ITINERARY))
    [whole] = await captured(admin, cents=int(total))
    lines = (await issued(admin, whole))["content"]["lines"]
    assert (len(lines), sum(line["amount_cents"] for line in lines)) == (items, total)
    deposit = await admin.fetchval(
        "insert into payment.payments (itinerary_id, amount_cents, currency, status, mode, intent_id, idempotency_key,"
        " captured_cents) values ($1, 100, 'USD', 'succeeded', 'mock', 'pi_d', 'key_d', 100) returning id",
        UUID(ITINERARY),
    )
    assert (await issued(admin, deposit))["content"]["lines"] == [
        {"description": "Travel services as booked", "amount_cents": 100}
    ]


@pytest.mark.parametrize("itinerary", [None, ITINERARY])
async def test_a_contribution_is_invoiced_to_who_paid_it(admin: asyncpg.Connection, itinerary: str | None) -> None:
    payer = await make_person(admin)
    [payment] = await captured(admin, cents=700, itinerary=itinerary)
    await admin.execute(
        'insert into "group".contributions (escrow_id, member_id, amount_cents, currency, payment_id, live)'
        " select c.escrow_id, c.member_id, 700, 'USD', $2, false from \"group\".contributions c"
        ' join "group".members m on m.id = c.member_id where m.user_id = $1',
        UUID(payer.user_id),
        payment,
    )
    content = (await issued(admin, payment))["content"]
    # The trip's traveller, Amina Uwase, is somebody else.
    assert content["buyer"] == {"name": f"Zuri {payer.word}", "reference": itinerary or str(payment)}
    assert content["lines"] == [{"description": "Share of a group's travel services", "amount_cents": 700}]
    with pytest.raises(asyncpg.PostgresError) as error:
        await admin.execute("select public.generate_invoice('invoice', $1, $2)", payment, UUID(payer.user_id))
    assert rule_of(error.value) == "invoice_itinerary"


async def test_only_the_service_issues_and_only_ops_read(database: str, admin: asyncpg.Connection) -> None:
    [payment] = await captured(admin)
    await issued(admin, payment)
    for role, user in ((Role.ANONYMOUS, None), (Role.USER, OPS_USER)):
        async with as_role(database, role, user) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await issued(connection, payment)
    async with as_role(database, Role.USER, OPS_USER) as ops:
        assert await ops.fetchval("select count(*) from fin.invoices") == 1
    async with as_role(database, Role.USER, TRAVELLER) as traveller:
        assert not await traveller.fetch("select * from fin.invoices")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await traveller.execute("select fin.set_seller('Me', 'Here', 'T1', 'a@b.c', 'RW', 'VAT', 0)")
