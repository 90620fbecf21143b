"""What the test of an escrow's states needs: the legal moves, a provider that keeps its word, the callers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import asyncpg

from src.domain.context import Role
from tests.conftest import TRAVELLER, as_role

# The states of docs/api.md, written down once more: what the tables of transitions say is what is tested.
LEGAL_PAYOUTS = {
    *("processing succeeded", "processing failed", "processing needs_reconcile", "failed processing"),
    *("needs_reconcile processing", "needs_reconcile succeeded", "needs_reconcile failed"),
}
LEGAL = {
    *("escrows open", "escrows open met", "escrows open expired", "escrows open cancelled", "escrows met paid_out"),
    *("escrows met cancelled", "payouts processing", "payouts failed", *(f"payouts {move}" for move in LEGAL_PAYOUTS)),
}
# Notes every move, whoever makes it.
WITNESS = """
create table public.moves (table_name text, old_status text, new_status text);
create function public.witness() returns trigger language plpgsql security definer as $$
begin
  if tg_op = 'INSERT' or new.status <> old.status then
    insert into public.moves values (tg_table_name, case tg_op when 'UPDATE' then old.status end, new.status);
  end if;
  return null;
end
$$;
create trigger witness after insert or update on "group".escrows for each row execute function public.witness();
create trigger witness after insert or update on "group".payouts for each row execute function public.witness();
"""
TABLES = [
    *(
        "public.moves",
        '"group".payouts',
        '"group".contributions',
        '"group".escrows',
        '"group".members',
        '"group".groups',
    ),
    *("payment.refunds", "payment.webhook_events", "payment.payments", "fin.postings", "fin.entries", "fin.accounts"),
    *("fin.heads", "ops.exceptions"),
]
# Quicker than truncating, of the few rows that an example leaves.
FRESH = f"""
set session_replication_role = replica;
{"".join(f"delete from {table};" for table in TABLES)}
reset session_replication_role
"""
DEADLINE_PASSES = """
set session_replication_role = replica;
update "group".escrows set deadline = now() - interval '1 second' where deadline > now();
reset session_replication_role
"""
# Every lease and every pause ends.
TIME_PASSES = """
update "group".payouts set locked_until = now() where locked_until is not null;
update "group".payouts set next_attempt_at = now() where next_attempt_at is not null;
update payment.refunds set next_attempt_at = now() where next_attempt_at is not null
"""
STATE = """
select e.status, e.deadline <= now() as late, e.payable_cents >= e.target_cents as enough, p.id::text as payout_id,
  p.status as payout, p.total_cents, p.provider_ref,
  (select coalesce(sum(balance_cents), 0)::int from fin.accounts) as balance,
  (select coalesce(sum(captured_cents), 0)::int from payment.payments) as captured,
  (select coalesce(sum(amount_cents), 0)::int from payment.refunds where status = 'succeeded') as refunded,
  (select coalesce(sum(settled_cents), 0)::int from "group".contributions) as paid_out,
  array(select concat_ws(' ', table_name, old_status, new_status) from public.moves) as moves
from "group".escrows e left join "group".payouts p on p.escrow_id = e.id
"""
Said: TypeAlias = Literal["succeeded", "failed", "unknown"]


@dataclass
class Claim:
    """What a host holds of a payout, and what the provider has said to it."""

    terms: dict[str, Any]
    said: Said | None = None
    ref: str | None = None


@dataclass
class Provider:
    """Makes one transfer or refund for a key, and remembers keys for a day."""

    captured: dict[str, int] = field(default_factory=dict)
    canceled: set[str] = field(default_factory=set)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    old_keys: set[str] = field(default_factory=set)

    def ask(self, claim: Claim, outcome: str) -> None:
        """As the live adapter does: what was asked for a day ago is looked for first."""
        key = claim.terms["provider_key"]
        made = self.keys.get(key) or (self.transfer_of(claim.terms["payout_id"]) if key in self.old_keys else None)
        if outcome == "unreached":
            claim.said = "unknown"
        elif outcome == "failed" and made is None:
            claim.said = "failed"
        else:
            made = made or f"tr_{len(self.transfers)}"
            self.keys[key] = made
            self.transfers.setdefault(made, claim.terms)
            claim.said, claim.ref = ("unknown", None) if outcome == "lost" else ("succeeded", made)

    def transfer_of(self, payout_id: str) -> str | None:
        return next((ref for ref, made in self.transfers.items() if made["payout_id"] == payout_id), None)

    def refund(self, asked: dict[str, Any]) -> str:
        made = f"re_{asked['refund_id']}"
        self.refunds[made] = asked
        assert self.given_back(asked["payment_id"]) <= self.captured[asked["payment_id"]]
        return made

    def given_back(self, payment: str | None = None) -> int:
        return sum(made["amount_cents"] for made in self.refunds.values() if payment in (None, made["payment_id"]))


@dataclass
class World:
    """What all examples share: a database and its callers."""

    runner: asyncio.Runner
    admin: asyncpg.Connection
    hosts: dict[str, asyncpg.Connection]
    owner: asyncpg.Connection


async def world_on(dsn: str, runner: asyncio.Runner, stack: AsyncExitStack) -> World:
    admin = await asyncpg.connect(dsn)
    stack.push_async_callback(admin.close)
    await admin.execute(WITNESS)
    one, two, owner = [
        await stack.enter_async_context(as_role(dsn, *who))
        for who in ((Role.SERVICE,), (Role.SERVICE,), (Role.USER, TRAVELLER))
    ]
    return World(runner, admin, {"one": one, "two": two}, owner)
