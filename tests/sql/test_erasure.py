"""Erasure: a plan that changes nothing, and an execution that does all of it or nothing."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import asyncpg
import pytest

from src.adapters.postgres.seed import seed_demo
from src.database import apply
from src.domain.context import Role
from src.logins import role_password
from tests.conftest import OPS_USER, TRAVELLER, as_role
from tests.support.persons import SECRET, approved, everything, make_person, rows_of
from tests.support.postgres import settings
from tests.support.races import raced

PLAN = "select plan_privacy_erasure($1)"
EXECUTE = "select execute_privacy_erasure($1, 'ERASE', $2)"
FIND = (
    "select concat_ws('.', table_schema, table_name, column_name) as place, kind, kept from find_erased_subject($1, $2)"
)


async def planned(admin: asyncpg.Connection, target: str) -> dict[str, list[dict[str, object]]]:
    body: dict[str, list[dict[str, object]]] = json.loads(await admin.fetchval(PLAN, target))
    return body


async def executed(admin: asyncpg.Connection, target: str) -> None:
    """The rows are erased and the folders empty."""
    await planned(admin, target)
    await admin.execute(EXECUTE, target, SECRET)
    await admin.execute(
        "select finish_privacy_purge((p ->> 'purge_id')::uuid, (p ->> 'attempt')::int)"
        " from json_array_elements(claim_privacy_purges()) p"
    )
    assert await admin.fetchval("select status from privacy.requests where id = $1", target) == "completed"


def counts(rows: list[dict[str, object]]) -> dict[str, object]:
    return {f"{row['schema']}.{row['table']}": row["count"] for row in rows}


async def test_the_made_up_person_has_a_row_in_every_mapped_table(admin: asyncpg.Connection) -> None:
    rows = await rows_of(admin, await make_person(admin))
    assert [name for name, found in rows.items() if not found] == []


async def test_a_dry_run_counts_all_rows_of_the_person_and_changes_none(admin: asyncpg.Connection) -> None:
    person = await make_person(admin)
    await make_person(admin)
    target = await approved(admin, person)
    before = await everything(admin)
    first = await planned(admin, target)
    after = await everything(admin)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"privacy.requests", "privacy.plans", "audit.events"}
    rows = await rows_of(admin, person)
    assert {**counts(first["kept"]), **counts(first["plan"])} == {name: len(found) for name, found in rows.items()}
    assert all(row["retain_until"] and row["legal_basis"] for row in first["kept"])
    assert (await planned(admin, target))["plan_sha256"] == first["plan_sha256"]


async def test_the_demo_does_not_bring_back_who_was_erased(database: str, admin: asyncpg.Connection) -> None:
    body = await admin.fetchval("select create_privacy_request('erasure', $1)", UUID(TRAVELLER))
    target = str(json.loads(body)["request_id"])
    await admin.execute("select review_privacy_request($1, 'approve')", target)
    await executed(admin, target)
    before = await everything(admin)
    assert await seed_demo(database) == 0
    assert await everything(admin) == before


async def test_execution_leaves_nothing_of_the_person_and_all_of_the_others(admin: asyncpg.Connection) -> None:
    person, other = await make_person(admin), await make_person(admin)
    target = await approved(admin, person)
    others = await rows_of(admin, other)
    books = [
        await admin.fetch(f"select * from fin.{table} order by 1, 2") for table in ("entries", "postings", "accounts")
    ]
    await executed(admin, target)
    assert await rows_of(admin, other) == others
    assert not await admin.fetch("select * from fin.verify_ledger()")
    assert books == [
        await admin.fetch(f"select * from fin.{table} order by 1, 2") for table in ("entries", "postings", "accounts")
    ]
    found = await admin.fetch(FIND, target, SECRET)
    assert [tuple(row) for row in found if not row["kept"]] == []
    assert {row["place"] for row in found} == {
        "audit.events.who",
        "fin.invoices.content",
        "privacy.requests.subject_user_id",
        "privacy.requests.requester_user_id",
    }
    # All that names somebody is gone from the database, but for what stands in kept ids and in documents.
    left = {name for name, rows in (await everything(admin)).items() if any(person.word in row for row in rows)}
    assert left <= {"fin.invoices"}


async def test_a_mistyped_secret_erases_nothing_and_a_changed_one_is_applied_first(
    admin: asyncpg.Connection, database: str
) -> None:
    person, given = await make_person(admin), settings(database)

    async def applied(secret: str) -> None:
        await apply.apply(database, apply.shipped(), lambda role: role_password(given, role), privacy_secret=secret)

    await applied(SECRET)
    target = await approved(admin, person)
    await planned(admin, target)
    before = await rows_of(admin, person)
    with pytest.raises(asyncpg.PostgresError, match="not the service's PRIVACY_HMAC_SECRET"):
        await admin.execute(EXECUTE, target, f"{SECRET} ")
    assert await rows_of(admin, person) == before
    await executed(admin, target)
    changed = "a key of tests that came after another"
    await applied(changed)
    # What was erased before is proved by the key that it was erased under.
    await admin.execute(FIND, target, SECRET)
    await planned(admin, other := await approved(admin, await make_person(admin)))
    with pytest.raises(asyncpg.PostgresError, match="not the service's"):
        await admin.execute(EXECUTE, other, SECRET)
    await admin.execute(EXECUTE, other, changed)


async def test_a_groups_name_goes_with_its_owner_and_stays_when_a_member_goes(admin: asyncpg.Connection) -> None:
    owner, member = await make_person(admin), await make_person(admin)
    name = (
        'select g.name, g.id from "group".groups g join "group".members m on m.owned_group_id = g.id where user_id = $1'
    )
    before, group = await admin.fetchrow(name, UUID(owner.user_id)) or (None, None)
    await admin.execute("select join_group($1, $2)", group, UUID(member.user_id))
    names = []
    for person in (member, owner):
        await executed(admin, await approved(admin, person))
        names.append(await admin.fetchval('select name from "group".groups where id = $1', group))
    assert names == [before, "[erased]"]


async def test_a_payment_into_other_peoples_trip_is_of_who_paid(admin: asyncpg.Connection) -> None:
    payer, owner = await make_person(admin), await make_person(admin)
    paid = await admin.fetchval(
        "with trip as (select id from booking.itineraries where user_id = $2), paid as ("
        "  insert into payment.payments (itinerary_id, amount_cents, currency, status, mode, idempotency_key)"
        "  select id, 700, 'USD', 'processing', 'mock', gen_random_uuid()::text from trip returning id"
        ') insert into "group".contributions (escrow_id, member_id, amount_cents, currency, payment_id, live)'
        " select c.escrow_id, c.member_id, 700, 'USD', paid.id, false from paid, \"group\".contributions c"
        ' join "group".members m on m.id = c.member_id where m.user_id = $1 returning payment_id::text',
        UUID(payer.user_id),
        UUID(owner.user_id),
    )
    owners = {person: (await rows_of(admin, person))["payment.payments"] for person in (payer, owner)}
    assert [person for person, payments in owners.items() if any(paid in row for row in payments)] == [payer]
    # Each also has the payment of their own trip, and the payer that of the first contribution.
    assert {person: len(payments) for person, payments in owners.items()} == {payer: 3, owner: 2}


async def test_the_scan_finds_what_was_left(admin: asyncpg.Connection) -> None:
    person = await make_person(admin)
    target = await approved(admin, person)
    await executed(admin, target)
    await admin.execute(
        "insert into booking.itineraries (currency, total_cents, notes, traveler) values ('USD', 1, $1, $2)",
        f"mail {person.word}@MAIL.example, or 0788{person.word[-6:]}",
        f"{person.word.upper()}, Zuri",
    )
    found = {(row["place"], row["kind"]) for row in await admin.fetch(FIND, target, SECRET) if not row["kept"]}
    assert found == {
        ("booking.itineraries.notes", "email"),
        ("booking.itineraries.notes", "phone"),
        ("booking.itineraries.traveler", "name"),
    }
    with pytest.raises(asyncpg.PostgresError, match="another PRIVACY_HMAC_SECRET"):
        await admin.fetch(FIND, target, "k" * 40)


@pytest.mark.parametrize(
    "change",
    [
        "insert into permits.requests (user_id, park, visit_date, pax_count) values ($1, 'Akagera', now(), 1)",
        "update core.profiles set full_name = 'Zuri' where auth_user_id = $1",
        "insert into audit.events (who, what, request_id) values ($1::uuid::text, 'x', 'y')",
        "delete from ops.idempotency_keys where caller = $1::uuid::text",
    ],
)
async def test_data_that_changed_since_the_dry_run_stops_the_execution(admin: asyncpg.Connection, change: str) -> None:
    person = await make_person(admin)
    target = await approved(admin, person)
    await planned(admin, target)
    await admin.execute(change, person.user_id)
    before = await everything(admin)
    with pytest.raises(asyncpg.PostgresError, match="plan_stale"):
        await admin.execute(EXECUTE, target, SECRET)
    assert await everything(admin) == before
    await planned(admin, target)
    await admin.execute(EXECUTE, target, SECRET)


async def test_a_plan_is_good_for_a_day_and_for_its_own_map(admin: asyncpg.Connection) -> None:
    target = await approved(admin, await make_person(admin))
    with pytest.raises(asyncpg.PostgresError, match="no plan yet"):
        await admin.execute(EXECUTE, target, SECRET)
    await planned(admin, target)
    await admin.execute("update privacy.data_map set label = 'x' where column_name = 'phone'")
    with pytest.raises(asyncpg.PostgresError, match="plan_stale"):
        await admin.execute(EXECUTE, target, SECRET)
    await planned(admin, target)
    await admin.execute("update privacy.requests set planned_at = now() - interval '25 hours'")
    with pytest.raises(asyncpg.PostgresError, match="plan_stale"):
        await admin.execute(EXECUTE, target, SECRET)


@pytest.mark.parametrize(
    "change",
    [
        "update core.profiles set full_name = 'Zuri' where auth_user_id = $1",
        """
        with held as (select from core.profiles where auth_user_id = $1 for update)
        insert into permits.requests (user_id, park, visit_date, pax_count) select $1, 'Akagera', now(), 1 from held
        """,
    ],
)
async def test_data_that_changes_while_rows_are_erased_undoes_all(
    database: str, admin: asyncpg.Connection, change: str
) -> None:
    person = await make_person(admin)
    target = await approved(admin, person)
    await planned(admin, target)
    # The profile's row is held until the change is committed, so that the execution is under way by then.
    async with as_role(database, Role.SERVICE) as service:
        outcome = await raced(
            admin, admin.execute(change, person.user_id), service, service.fetchval(EXECUTE, target, SECRET)
        )
    assert isinstance(outcome, asyncpg.PostgresError)
    assert "plan_stale" in str(outcome)
    assert await admin.fetchval("select count(*) from core.profiles where auth_user_id = $1", person.user_id) == 1


async def test_two_executions_at_once_have_one_effect_and_one_certificate(
    database: str, admin: asyncpg.Connection
) -> None:
    target = await approved(admin, await make_person(admin))
    await planned(admin, target)
    async with as_role(database, Role.SERVICE) as one, as_role(database, Role.USER, OPS_USER) as other:
        first, second = await asyncio.gather(*(c.fetchval(EXECUTE, target, SECRET) for c in (one, other)))
    assert json.loads(first)["certificate"] == json.loads(second)["certificate"]
    assert await admin.fetchval("select count(*) from audit.events where what = 'privacy.erased'") == 1


async def test_the_certificate_is_signed_and_nobody_changes_it(admin: asyncpg.Connection) -> None:
    target = await approved(admin, await make_person(admin))
    await executed(admin, target)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await admin.execute("update privacy.certificates set body = '{}'")
    await admin.execute("alter table privacy.certificates disable trigger user")
    await admin.execute("""update privacy.certificates set body = body || '{"executed_by": "nobody"}'""")
    with pytest.raises(asyncpg.PostgresError, match="altered"):
        await admin.fetch(FIND, target, SECRET)


async def test_an_import_does_not_bring_the_person_back(admin: asyncpg.Connection) -> None:
    person = await make_person(admin)
    target = await approved(admin, person)
    await executed(admin, target)
    with pytest.raises(asyncpg.PostgresError, match="not imported again"):
        await admin.execute("insert into core.profiles (auth_user_id) values ($1)", person.user_id)


async def test_travellers_neither_review_nor_export_nor_erase_in_sql_either(
    database: str, admin: asyncpg.Connection
) -> None:
    target = await approved(admin, await make_person(admin))
    calls = (
        "review_privacy_request($1, 'approve')",
        "start_privacy_review($1)",
        "extend_privacy_request($1, 1, 'why')",
        "begin_privacy_export($1)",
        "read_privacy_export($1, 'core', 'profiles', 0, 1)",
        "record_privacy_export($1, 'p', 's', now())",
        "privacy_erasure_folders($1)",
        "plan_privacy_erasure($1)",
        f"execute_privacy_erasure($1, 'ERASE', '{SECRET}')",
        f"find_erased_subject($1, '{SECRET}')",
        f"find_erased_subject_in_text($1, 't', '{SECRET}')",
        "privacy_get_request($1)",
        "privacy_log_audit($1, 'privacy.x')",
    )
    async with as_role(database, Role.USER, TRAVELLER) as traveller, as_role(database, Role.ANONYMOUS) as anonymous:
        for connection in (traveller, anonymous):
            for call in calls:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch(f"select * from {call}", target)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await anonymous.fetch("select create_privacy_request('export', $1)", TRAVELLER)
        assert not await traveller.fetch("select * from privacy.requests")
        assert not await traveller.fetch("select * from privacy.data_map")


async def test_the_planners_statistics_forget_the_person(admin: asyncpg.Connection) -> None:
    """As soon as the erasure is committed: the next analyze may be weeks away."""
    person = await make_person(admin)
    await admin.execute("analyze")
    held = (
        "select count(*) from pg_stats"
        " where strpos(concat(most_common_vals::text, histogram_bounds::text), $1) > 0 and tablename = 'profiles'"
    )
    assert await admin.fetchval(held, person.word) > 0
    target = await approved(admin, person)
    await admin.execute("select public.plan_privacy_erasure($1)", target)
    await admin.execute("select public.execute_privacy_erasure($1, 'ERASE', $2)", target, SECRET)
    assert await admin.fetchval(held, person.word) == 0
