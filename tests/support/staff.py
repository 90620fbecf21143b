"""What staff in psql may call, each with arguments that something is there for."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import asyncpg

from tests.conftest import ITINERARY, OTHER_TRAVELLER, TRAVELLER
from tests.support.persons import SECRET, approved, make_person

# What only looks cannot hold more than the right to look.
MAY_CALL = r"""
select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.proowner = 'ecotrips_owner'::regrole and p.prokind = 'f' and p.provolatile = 'v'
  and has_function_privilege('ops_staff', p.oid, 'execute') and has_schema_privilege('ops_staff', n.oid, 'usage')
  -- Its first line refuses them, before anything is locked.
  and p.prosrc !~ 'begin\s+perform sec\.require_service\(\);'
"""
# A call of each, of another traveller's booking, group and requests than the money that is moved meanwhile.
CALLS = {
    "ops.set_flag": "ops.set_flag('PAYOUTS_PAUSED', '1')",
    "ops.keep_first_answer": "ops.keep_first_answer(gen_random_uuid(), '{{}}')",
    "public.start_checkout": "start_checkout('{itinerary}', 700, 'USD')",
    "public.ensure_payment_record": "ensure_payment_record('{itinerary}', 700, 'USD', 'by-hand')",
    "public.request_itinerary_refund": "request_itinerary_refund('{itinerary}', 100, 'asked')",
    "fin.seal_ledger": "fin.seal_ledger(now())",
    "public.seal_ledger": "seal_ledger()",
    "fin.set_seller": "fin.set_seller('x', 'y', 'TIN 1', 'a@example.com', 'RW', 'VAT', 1800)",
    "public.create_permit_request": "create_permit_request('Akagera', '2099-01-01', 2, null)",
    "public.approve_permit_request": "approve_permit_request('{permit}', 'x')",
    "public.reject_permit_request": "reject_permit_request('{permit}', 'x')",
    "public.cancel_permit_request": "cancel_permit_request('{permit}', 'x')",
    "public.set_permit_quota": "set_permit_quota('Akagera', 9)",
    "public.create_group": "create_group('Trek', p_user_id => '{other}')",
    "public.join_group": "join_group('{group}', '{traveller}')",
    "public.set_group_status": "set_group_status('{group}', 'locked')",
    "public.create_escrow": "create_escrow('{group}', 900, now() + interval '1 day')",
    "public.contribute": "contribute('{escrow}', 300, p_member_id => '{member}')",
    "public.cancel_escrow": "cancel_escrow('{escrow}')",
    "public.payout_now": "payout_now('{met}')",
    "public.decide_payout": "decide_payout('{payout}', true, 'tr_1')",
    "public.retry_exception": "retry_exception('{exception}', 'mended')",
    "public.create_privacy_request": "create_privacy_request('export', '{other}')",
    "public.start_privacy_review": "start_privacy_review('{asked}')",
    "public.review_privacy_request": "review_privacy_request('{asked}', 'approve')",
    "public.extend_privacy_request": "extend_privacy_request('{asked}', 1, 'parks')",
    "public.privacy_log_audit": "privacy_log_audit(null, 'privacy.looked', '{{}}')",
    "public.begin_privacy_export": "begin_privacy_export('{export}')",
    "public.read_privacy_export": "read_privacy_export('{export}', 'core', 'profiles', 0, 1)",
    "public.record_privacy_export": "record_privacy_export('{export}', '{archive}', repeat('0', 64), now() + '1d')",
    "public.privacy_erasure_folders": "privacy_erasure_folders('{erasure}')",
    "public.plan_privacy_erasure": "plan_privacy_erasure('{erasure}')",
    "public.execute_privacy_erasure": "execute_privacy_erasure('{erasure}', 'ERASE', '{secret}')",
    "public.find_erased_subject": "find_erased_subject('{erasure}', '{secret}')",
    "public.find_erased_subject_in_text": "find_erased_subject_in_text('{erasure}', '{secret}', 'x')",
    "public.search_places": "search_places('kigali')",
    "sec.count_answer": "sec.count_answer(1)",
    "sec.bounded_rows": "sec.bounded_rows('[]')",
    "sec.bounded_cast": "sec.bounded_cast('1e100'::text)",
    "sec.request_id": "sec.request_id()",
    "public.force_circuit": "force_circuit('hbx', 'open')",
}
# Those that refuse in this world, which is enough: they are of something that is decided, or not there yet.
REFUSED = {"public.find_erased_subject", "public.find_erased_subject_in_text", "ops.keep_first_answer"}


async def group_of(admin: asyncpg.Connection, user: str, target: int) -> tuple[str, str, str]:
    """A group, its owner's member row, and an escrow."""
    group = await admin.fetchval("select create_group('Trek', p_user_id => $1) ->> 'group_id'", user)
    member = await admin.fetchval('select id::text from "group".members where group_id = $1', group)
    return group, member, await escrow_of(admin, group, target)


async def escrow_of(admin: asyncpg.Connection, group: str, target: int) -> str:
    made = "select create_escrow($1, $2, now() + interval '1 day', p_min_members => 1) ->> 'escrow_id'"
    return str(await admin.fetchval(made, group, target))


async def paid(admin: asyncpg.Connection, payment: str) -> None:
    await admin.execute(
        f"do $$ declare p payment.payments := payment.locked('{payment}');"
        " begin p := payment.set_intent(p, 'pi_' || p.id); perform payment.capture(p); end $$"
    )


async def world(admin: asyncpg.Connection) -> Mapping[str, str]:
    """Something of everything for staff to work on, and an itinerary and an escrow for the money."""
    person = await make_person(admin)
    itinerary = await admin.fetchval(
        "select id::text from booking.itineraries where user_id = $1 limit 1", UUID(person.user_id)
    )
    group, member, escrow = await group_of(admin, OTHER_TRAVELLER, 900)
    _, own_member, own_escrow = await group_of(admin, TRAVELLER, 900)
    met, paid_out = [await escrow_of(admin, group, 100) for _ in range(2)]
    for target in (met, paid_out):
        answer = await admin.fetchval("select contribute($1, 100, p_member_id => $2) ->> 'payment_id'", target, member)
        await paid(admin, answer)
    payout = await admin.fetchval("select payout_now($1) ->> 'payout_id'", paid_out)
    await admin.execute("set session_replication_role = replica")
    await admin.execute(
        "update \"group\".payouts set status = 'needs_reconcile', next_attempt_at = null where id = $1", payout
    )
    await admin.execute("reset session_replication_role")
    checkout = await admin.fetchval("select start_checkout($1, 5100, 'USD') ->> 'payment_id'", itinerary)
    await paid(admin, checkout)
    permit = "select create_permit_request('Akagera', '2099-01-02', 2, null) ->> 'request_id'"
    asked = "select create_privacy_request('export', $1) ->> 'request_id'"
    export, erasure = await approved(admin, person, "export"), await approved(admin, person)
    await admin.execute("select begin_privacy_export($1)", export)
    await admin.execute("select plan_privacy_erasure($1)", erasure)
    return {
        "itinerary": itinerary,
        "other": OTHER_TRAVELLER,
        "traveller": TRAVELLER,
        "mine": ITINERARY,
        "group": group,
        "member": member,
        "escrow": escrow,
        "met": met,
        "payout": payout,
        "own_member": own_member,
        "own_escrow": own_escrow,
        "permit": await admin.fetchval(permit),
        "exception": await admin.fetchval("select ops.open_exception('circuit', 'hbx', 'x')::text"),
        "asked": await admin.fetchval(asked, OTHER_TRAVELLER),
        "export": export,
        "archive": f"{export}/export.zip",
        "erasure": erasure,
        "secret": SECRET,
    }


# What only the service may call, no endpoint does, and people do all the same.
LOOKED_AT = {"meta.is_production", "ops.flag", "ops.service_levels", "public.record_payment_intent"}
