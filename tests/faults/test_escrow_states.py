"""Whatever members, ops, the provider, psql and two hosts of workers do in whatever order: an escrow is paid out at
most once and never when it was closed, and no cent is lost or made.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.escrow_world import (
    DEADLINE_PASSES,
    FRESH,
    LEGAL,
    LEGAL_PAYOUTS,
    STATE,
    TIME_PASSES,
    Claim,
    Provider,
    World,
    world_on,
)

pytestmark = pytest.mark.heavy

CENTS = st.sampled_from([100, 250, 500])
ANY = st.integers(0, 4)
SELDOM = st.sampled_from([False, False, False, True])
HOSTS = st.sampled_from(["one", "two"])


class Escrow(RuleBasedStateMachine):
    """One escrow of $5.00 that two members at least must meet."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.admin, self.hosts, self.owner = self.world.admin, self.world.hosts, self.world.owner
        self.provider = Provider()
        self.payments: dict[str, int] = {}
        self.hands: dict[str, list[Claim]] = {"one": [], "two": []}
        self.events = itertools.count(1)

    def run(self, work: Awaitable[Any]) -> Any:
        return self.world.runner.run(_awaited(work))

    def do(self, by: asyncpg.Connection, statement: str, *arguments: object) -> Any:
        """The value, or None when a rule forbids it; any other failure is a fault."""
        try:
            return self.run(by.fetchval(statement, *arguments))
        except asyncpg.PostgresError as error:
            if error.sqlstate not in ("PT409", "PT400", "PT403"):
                raise
            return None

    def rows(self, query: str) -> list[asyncpg.Record]:
        return list(self.run(self.admin.fetch(query)))

    @initialize(live=st.booleans(), start=st.sampled_from(["captured", "met", "empty"]))
    def begin(self, *, live: bool, start: str) -> None:
        self.run(self.admin.execute(FRESH))
        self.do(self.admin, "select ops.set_flag('STRIPE_MOCK_MODE', $1)", "0" if live else "1")
        group = json.loads(self.do(self.owner, "select create_group('Trek')"))
        self.group, self.members = UUID(group["group_id"]), [UUID(group["member_id"])]
        made = self.do(self.owner, "select create_escrow($1, 500, now() + interval '1 hour')", self.group)
        self.escrow = UUID(json.loads(made)["escrow_id"])
        for number in range(2 if start != "empty" else 0):
            self.contribute(number, 250)
            if start == "captured":
                self.webhook(number, "succeeded")

    @rule(who=ANY, cents=CENTS)
    def contribute(self, who: int, cents: int) -> None:
        """By a member, or by somebody who joins for it."""
        if who >= len(self.members):
            joined = self.do(self.hosts["one"], "select join_group($1, $2)", self.group, uuid4())
            self.members.append(UUID(json.loads(joined)["member_id"]))
        member = self.members[min(who, len(self.members) - 1)]
        body = self.do(self.hosts["one"], "select contribute($1, $2, p_member_id => $3)", self.escrow, cents, member)
        if body is not None:
            made = json.loads(body)
            self.payments[made["payment_id"]] = cents
            self.do(
                self.hosts["one"],
                "select record_contribution_intent($1, $2)",
                *(UUID(made["contribution_id"]), f"pi_{made['payment_id']}"),
            )

    @precondition(lambda self: self.payments)
    @rule(which=ANY, kind=st.sampled_from(["succeeded", "succeeded", "payment_failed", "canceled"]))
    def webhook(self, which: int, kind: str) -> None:
        payment = list(self.payments)[which % len(self.payments)]
        if payment in (self.provider.canceled if kind == "succeeded" else self.provider.captured):
            return
        if kind == "succeeded":
            self.provider.captured[payment] = self.payments[payment]
        elif kind == "canceled":
            self.provider.canceled.add(payment)
        self.do(
            self.hosts["two"],
            "select apply_payment_event($1, $2, '{}', true, to_timestamp($3::int), $4, null, $4, null, $5, 'usd')",
            *(f"evt_{next(self.events)}", f"payment_intent.{kind}", next(self.events)),
            *(f"pi_{payment}", self.payments[payment]),
        )

    @precondition(lambda self: self.provider.captured)
    @rule(which=ANY, cents=CENTS)
    def ask_for_a_refund(self, which: int, cents: int) -> None:
        payment = list(self.provider.captured)[which % len(self.provider.captured)]
        self.do(self.hosts["two"], "select request_refund($1, $2, 'asked')", UUID(payment), cents)

    @rule(now=SELDOM)
    def deadline(self, *, now: bool) -> None:
        if now:
            self.run(self.admin.execute(DEADLINE_PASSES))

    @rule(now=SELDOM, by_owner=st.booleans())
    def cancel(self, *, now: bool, by_owner: bool) -> None:
        if now:
            self.do(self.owner if by_owner else self.hosts["two"], "select cancel_escrow($1)", self.escrow)

    @rule(host=HOSTS)
    def expire(self, host: str) -> None:
        self.do(self.hosts[host], "select expire_escrows()")

    @rule(host=HOSTS, outcome=st.sampled_from(["succeeded", "failed", "lost"]))
    def refund(self, host: str, outcome: str) -> None:
        connection = self.hosts[host]
        self.do(connection, "select request_escrow_refunds()")
        for asked in json.loads(self.do(connection, "select claim_due_refunds()")):
            identity = UUID(asked["refund_id"])
            if outcome == "failed" and f"re_{identity}" not in self.provider.refunds:
                self.do(connection, "select record_refund($1, 'failed', null, 'declined')", identity)
                continue
            made = self.provider.refund(asked)
            if outcome != "lost":
                self.do(connection, "select record_refund($1, 'succeeded', $2)", identity, made)

    @rule(host=HOSTS, steps=st.integers(1, 3), outcome=st.sampled_from(["lost", "failed", "succeeded", "unreached"]))
    def payout_worker(self, host: str, steps: int, outcome: str) -> None:
        """The host's next steps: a claim, then the provider, then what it said."""
        for _ in range(steps):
            self.step(host, outcome)

    def step(self, host: str, outcome: str) -> None:
        if not self.hands[host]:
            self.claim(host, None)
            return
        claim = self.hands[host][0]
        if claim.said is None:
            self.provider.ask(claim, outcome)
            return
        self.hands[host].remove(claim)
        self.do(
            self.hosts[host],
            "select finish_payout($1, $2, $3, $4, $5)",
            *(UUID(claim.terms["payout_id"]), claim.terms["claim"], claim.said, claim.ref),
            None if claim.said == "succeeded" else "no_answer",
        )

    @rule(host=HOSTS)
    def payout_now(self, host: str) -> None:
        self.do(self.hosts[host], "select payout_now($1)", self.escrow)
        self.claim(host, self.escrow)

    def claim(self, host: str, escrow: UUID | None) -> None:
        claims = json.loads(self.do(self.hosts[host], "select claim_payouts(20, $1)", escrow))
        self.hands[host] += [Claim(terms) for terms in claims]

    @rule(host=HOSTS)
    def crash(self, host: str) -> None:
        self.hands[host].clear()

    @rule(a_day=SELDOM)
    def time_passes(self, *, a_day: bool) -> None:
        """Who has not asked the provider by then asks it no more; who has its answer may still come with it."""
        for claim in itertools.chain(*self.hands.values()):
            claim.said = claim.said or "unknown"
        self.run(self.admin.execute(TIME_PASSES))
        if a_day:
            self.provider.old_keys |= {
                row[0] for row in self.rows('select "group".payout_key(p) from "group".payouts p')
            }
            self.provider.keys.clear()
            self.run(
                self.admin.execute("update \"group\".payouts set generation_at = generation_at - interval '1 day'")
            )

    @rule(decide=st.booleans())
    def ops_look(self, *, decide: bool) -> None:
        """They try again what failed, or say of a payout that nobody knows about what they see at the provider."""
        for row in self.rows("select id from \"group\".payouts where status = 'needs_reconcile'"):
            if decide:
                made = self.provider.transfer_of(str(row[0]))
                self.do(self.admin, "select decide_payout($1, $2, $3)", row[0], made is not None, made)
        for row in self.rows(
            "select id from ops.exceptions where status <> 'resolved' and kind in ('payout', 'refund')"
        ):
            self.do(self.hosts["two"], "select retry_exception($1)", row[0])

    @rule(
        escrow=st.sampled_from(["open", "met", "expired", "cancelled", "paid_out"]),
        payout=st.sampled_from(["processing", "succeeded", "failed", "needs_reconcile"]),
    )
    def psql_tries(self, escrow: str, payout: str) -> None:
        now = self.rows(STATE)[0]
        if escrow not in (now["status"], "cancelled") and (escrow, now["late"]) != ("expired", True):
            self.refused('update "group".escrows set status = $1', escrow)
        if now["payout"] is None:
            return
        if payout != now["payout"] and f"{now['payout']} {payout}" not in LEGAL_PAYOUTS:
            self.refused('update "group".payouts set status = $1, next_attempt_at = null', payout)
        self.refused(
            'insert into "group".payouts (escrow_id, total_cents, currency, mode, status)'
            " select id, 500, 'USD', 'live', $1 from \"group\".escrows",
            payout,
        )

    def refused(self, statement: str, value: str) -> None:
        with pytest.raises(asyncpg.PostgresError) as refused:
            self.run(self.admin.execute(statement, value))
        assert refused.value.sqlstate in ("PT409", "23505", "23514")

    @invariant()
    def all_is_well(self) -> None:
        now, provider = self.rows(STATE)[0], self.provider
        assert set(now["moves"]) <= LEGAL
        # Paid out at most once, and never when it was closed.
        assert len(provider.transfers) <= 1
        for ref, made in provider.transfers.items():
            assert (now["status"], now["payout"]) in {
                ("met", "processing"),
                ("met", "needs_reconcile"),
                ("paid_out", "succeeded"),
            }
            assert (now["payout_id"], now["total_cents"]) == (made["payout_id"], made["total_cents"])
            assert now["provider_ref"] in (None, ref)
        assert provider.transfers or now["status"] != "paid_out"
        # What came in went out or is there.
        assert now["captured"] == sum(provider.captured.values())
        assert now["balance"] == now["captured"] - now["refunded"] - now["paid_out"]
        assert now["refunded"] <= provider.given_back()

    def teardown(self) -> None:
        """Everything works again, and ops try again what they see: then nothing is left under way."""
        if not hasattr(self, "escrow"):
            return
        for _ in range(4):
            self.time_passes(a_day=False)
            self.ops_look(decide=True)
            self.expire("one")
            self.refund("two", "succeeded")
            self.payout_worker("one", 3, "succeeded")
        self.all_is_well()
        now = self.rows(STATE)[0]
        if now["status"] in ("expired", "cancelled"):
            assert self.provider.given_back() == sum(self.provider.captured.values())
        if now["status"] in ("expired", "cancelled", "paid_out"):
            assert self.rows("select from fin.accounts where kind = 'escrow' and balance_cents <> 0") == []
        else:
            assert (now["status"], now["enough"]) != ("met", True)
        assert self.rows("select * from fin.verify_ledger()") == []


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def test_no_order_of_events_pays_twice_or_loses_a_cent(database: str) -> None:
    options = settings(stateful_step_count=25, deadline=None, database=None, print_blob=True)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            world = runner.run(world_on(database, runner, stack))
            run_state_machine_as_test(type("Escrow", (Escrow,), {"world": world}), settings=options)
        finally:
            runner.run(stack.aclose())
