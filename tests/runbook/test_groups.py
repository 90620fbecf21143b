"""Runbook, "Groups & Split-Pay (v1)", in its order."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from src.domain.context import Role
from tests.conftest import ITINERARY, OPS_USER, OTHER_TRAVELLER, Api, as_role
from tests.support.runbook import OWNER, contribute, in_an_hour, join, make_group, open_escrow, told

UNKNOWN = "99999999-9999-4999-8999-999999999999"


async def test_the_runbooks_story_from_group_to_met_escrow(api: Api, admin: asyncpg.Connection) -> None:
    group = await make_group(api, itinerary_id=ITINERARY)
    escrow = await open_escrow(api, group, itinerary_id=ITINERARY, min_members=2)
    member = await join(api, group)
    first = await contribute(api, escrow, OWNER, 25000)
    assert first["payment_intent"] == f"pi_mock_{first['payment_id']}"
    assert {name: first[name] for name in ("escrow_status", "total_cents", "captured_cents", "contributors")} == {
        "escrow_status": "open",
        "total_cents": 25000,
        "captured_cents": 0,
        "contributors": 1,
    }
    second = await contribute(api, escrow, member, 25000)
    assert (second["escrow_status"], second["total_cents"], second["contributors"]) == ("met", 50000, 2)
    assert "payment" not in second
    row = await admin.fetchrow(
        "select status, itinerary_id::text, mode from payment.payments where id = $1", UUID(str(second["payment_id"]))
    )
    assert row is not None
    assert tuple(row) == ("processing", ITINERARY, "mock")


async def test_a_captured_payment_shows_as_captured_money(api: Api, admin: asyncpg.Connection) -> None:
    escrow = await open_escrow(api, await make_group(api))
    paid = await contribute(api, escrow, OWNER, 2500)
    assert await told(api, "payment_intent.succeeded", paid) == "applied"
    assert (await contribute(api, escrow, OWNER, 100))["captured_cents"] == 2500
    balance = await admin.fetchval("select balance_cents from fin.accounts where account = $1", f"escrow:{escrow}")
    assert balance == 2500


async def test_only_owners_and_ops_create_escrows(api: Api) -> None:
    group = await make_group(api)
    member = await join(api, group)
    terms = {"group_id": group, "target_cents": 50000, "deadline": in_an_hour()}
    refused = await api.post("groups-create-escrow", terms, api.user(member))
    assert (refused.status_code, refused.json()["error"]) == (403, "Only owners may create escrows")
    for headers in (api.ops, api.service):
        assert (await api.post("groups-create-escrow", terms, headers)).status_code == 200
    assert (await api.post("groups-create-escrow", terms, api.anonymous)).status_code == 401
    unknown = await api.post("groups-create-escrow", {**terms, "group_id": UNKNOWN}, api.user(OWNER))
    assert (unknown.status_code, unknown.json()["error"]) == (404, "Group not found")


async def test_an_escrows_terms_are_checked(api: Api) -> None:
    group = await make_group(api)
    terms = {"group_id": group, "target_cents": 50000, "deadline": in_an_hour()}
    for wrong, message in (
        ({"deadline": "2020-01-01T00:00:00Z"}, "deadline must be in the future"),
        ({"deadline": "2030-01-01T00:00:00"}, "deadline must be an ISO 8601 time with a zone"),
        ({"target_cents": 0}, "target_cents must be a positive integer"),
        ({"min_members": 0}, "min_members must be an integer from 1 to 10000"),
        ({"currency": "GBP"}, "currency must be USD|EUR|RWF"),
    ):
        answer = await api.post("groups-create-escrow", {**terms, **wrong}, api.user(OWNER))
        assert (answer.status_code, answer.json()["error"]) == (400, message)


async def test_joining_again_gives_the_existing_membership_and_nobody_becomes_owner(api: Api) -> None:
    group = await make_group(api)
    answers = [
        (await api.post("groups-join", {"group_id": group}, api.user(user))).json()
        for user in (OTHER_TRAVELLER, OTHER_TRAVELLER, OWNER)
    ]
    assert [(answer["status"], answer["role"]) for answer in answers] == [
        ("created", "member"),
        ("existing", "member"),
        ("existing", "owner"),
    ]
    assert answers[0]["member_id"] == answers[1]["member_id"]
    assert (await api.post("groups-join", {"group_id": UNKNOWN}, api.user())).status_code == 404


@pytest.mark.parametrize("status", ["locked", "cancelled"])
async def test_a_closed_group_takes_nobody_but_knows_its_members(
    api: Api, admin: asyncpg.Connection, status: str
) -> None:
    group = await make_group(api)
    await admin.fetchval("select public.set_group_status($1, $2)", UUID(group), status)
    refused = await api.post("groups-join", {"group_id": group}, api.user(OTHER_TRAVELLER))
    assert (refused.status_code, refused.json()["error"]) == (409, f"The group is {status} and takes no members")
    assert (await api.post("groups-join", {"group_id": group}, api.user(OWNER))).json()["status"] == "existing"


async def test_contributions_are_refused_to_strangers_in_other_money_and_after_the_end(
    api: Api, admin: asyncpg.Connection
) -> None:
    escrow = await open_escrow(api, await make_group(api))
    body = {"escrow_id": escrow, "amount_cents": 2500}
    stranger = await api.post("groups-contribute", body, api.user(OTHER_TRAVELLER))
    assert (stranger.status_code, stranger.json()["error"]) == (403, "Only members may contribute")
    other_money = await api.post("groups-contribute", {**body, "currency": "EUR"}, api.user(OWNER))
    assert (other_money.status_code, other_money.json()["error"]) == (400, "currency must match escrow")
    assert (await api.post("groups-contribute", {**body, "escrow_id": UNKNOWN}, api.user(OWNER))).status_code == 404
    await admin.execute('alter table "group".escrows disable trigger guard_escrow')
    await admin.execute("update \"group\".escrows set deadline = now() - interval '1 second'")
    await admin.execute('alter table "group".escrows enable trigger guard_escrow')
    late = await api.post("groups-contribute", body, api.user(OWNER))
    assert (late.status_code, late.json()["error"]) == (409, "The escrow's deadline has passed")
    assert await admin.fetchval('select count(*) from "group".contributions') == 0
    assert await admin.fetchval("select count(*) from payment.payments") == 0


async def test_equal_contributions_are_two_unless_they_carry_the_same_key(api: Api, admin: asyncpg.Connection) -> None:
    escrow = await open_escrow(api, await make_group(api))
    plain = [await contribute(api, escrow, OWNER, 1000) for _ in range(2)]
    assert plain[0]["contribution_id"] != plain[1]["contribution_id"]
    keyed = await contribute(api, escrow, OWNER, 1000, **{"idempotency-key": "one"})
    # The key holds beside the stored answer, which is gone after a day.
    await admin.execute("delete from ops.idempotency_keys")
    again = await contribute(api, escrow, OWNER, 1000, **{"idempotency-key": "one"})
    assert again["contribution_id"] == keyed["contribution_id"]
    assert (again["total_cents"], again["contributors"]) == (3000, 1)
    await admin.execute("delete from ops.idempotency_keys")
    other_terms = await api.post(
        "groups-contribute",
        {"escrow_id": escrow, "amount_cents": 999},
        {**api.user(OWNER), "idempotency-key": "one"},
    )
    assert other_terms.status_code == 409


async def test_operators_act_for_members_and_nobody_else_does(api: Api) -> None:
    made = await api.post("groups-create", {"name": "By ops", "user_id": OWNER}, api.service)
    group = made.json()["group_id"]
    escrow = await open_escrow(api, group)
    joined = await api.post("groups-join", {"group_id": group, "user_id": OTHER_TRAVELLER}, api.ops)
    assert joined.json()["status"] == "created"
    body = {"escrow_id": escrow, "amount_cents": 2500}
    by_member = await api.post("groups-contribute", {**body, "member_id": joined.json()["member_id"]}, api.service)
    by_user = await api.post("groups-contribute", {**body, "user_id": OWNER}, api.ops)
    assert (by_member.json()["contributors"], by_user.json()["contributors"]) == (1, 2)
    for pretended in ({"member_id": joined.json()["member_id"]}, {"user_id": OTHER_TRAVELLER}):
        assert (await api.post("groups-contribute", {**body, **pretended}, api.user(OWNER))).status_code == 403
    nobody = await api.post("groups-contribute", body, api.service)
    assert (nobody.status_code, nobody.json()["error"]) == (400, "user_id is required")
    other = await open_escrow(api, await make_group(api))
    theirs = {**body, "escrow_id": other, "member_id": joined.json()["member_id"]}
    wrong_group = await api.post("groups-contribute", theirs, api.ops)
    assert (wrong_group.status_code, wrong_group.json()["error"]) == (404, "Member not found")
    assert (await api.post("groups-contribute", body, api.ops)).status_code == 403


async def test_the_owner_cancels_an_open_escrow_and_captured_money_goes_back(
    api: Api, admin: asyncpg.Connection
) -> None:
    group = await make_group(api)
    escrow = await open_escrow(api, group)
    paid = await contribute(api, escrow, OWNER, 2500)
    await contribute(api, escrow, OWNER, 300)
    assert await told(api, "payment_intent.succeeded", paid) == "applied"
    member = await join(api, group)
    refused = await api.post("groups-cancel-escrow", {"escrow_id": escrow}, api.user(member))
    assert (refused.status_code, refused.json()["error"]) == (403, "Only owners may cancel escrows")
    cancelled = await api.post("groups-cancel-escrow", {"escrow_id": escrow}, api.user(OWNER))
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = await api.post("groups-cancel-escrow", {"escrow_id": escrow}, api.ops)
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    refunds = await admin.fetch("select payment_id::text, amount_cents, origin from payment.refunds")
    assert [tuple(row) for row in refunds] == [(paid["payment_id"], 2500, "escrow")]
    assert (
        await api.post("groups-contribute", {"escrow_id": escrow, "amount_cents": 1}, api.user(OWNER))
    ).status_code == 409
    assert await admin.fetchval("select balance_cents from fin.accounts where account = $1", f"escrow:{escrow}") == 0


async def test_a_met_escrow_is_cancelled_by_ops_only(api: Api) -> None:
    escrow = await open_escrow(api, await make_group(api), min_members=1)
    await contribute(api, escrow, OWNER, 50000)
    refused = await api.post("groups-cancel-escrow", {"escrow_id": escrow}, api.user(OWNER))
    assert (refused.status_code, refused.json()["error"]) == (409, "The escrow is met; ask ops")
    assert (await api.post("groups-cancel-escrow", {"escrow_id": escrow}, api.ops)).json()["status"] == "cancelled"


async def test_each_endpoint_prints_one_audit_line(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    group = await make_group(api)
    escrow = await open_escrow(api, group)
    capfd.readouterr()
    headers = {**api.user(OWNER), "x-request-id": "story"}
    paid = (await api.post("groups-contribute", {"escrow_id": escrow, "amount_cents": 2500}, headers)).json()
    member = (await api.post("groups-join", {"group_id": group}, headers)).json()["member_id"]
    contributed, joined = capfd.readouterr().out.splitlines()
    assert contributed == (
        f"AUDIT groups.contribute requestId=story actor={OWNER} escrow={escrow} amount=2500"
        f" contribution={paid['contribution_id']} payment={paid['payment_id']} status=open total=2500"
    )
    assert joined == (f"AUDIT groups.join requestId=story actor={OWNER} group={group} member={member} status=existing")


async def test_members_see_their_group_and_others_do_not(api: Api, database: str) -> None:
    escrow = await open_escrow(api, await make_group(api))
    await contribute(api, escrow, OWNER, 2500)
    seen = {}
    for user in (OWNER, OTHER_TRAVELLER, OPS_USER):
        async with as_role(database, Role.USER, user) as connection:
            counts = [
                await connection.fetchval(f'select count(*) from "group".{table}')
                for table in ("groups", "members", "escrows", "contributions")
            ]
            summary = await connection.fetch(
                "select total_cents from public.group_contribution_summary($1)", UUID(escrow)
            )
            seen[user] = (counts, [row["total_cents"] for row in summary])
    assert seen == {OWNER: ([1] * 4, [2500]), OTHER_TRAVELLER: ([0] * 4, []), OPS_USER: ([1] * 4, [2500])}
