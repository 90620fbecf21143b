"""All orders of a payment's events, up to six at once, end in one state; none is sampled.

A function of the session walks the tree of orders: it applies an event, goes on with the rest, and undoes it.
"""

from __future__ import annotations

import json
import math

import asyncpg
import pytest

from tests.support.payment_events import DONE, LOST, MADE, OPENED, PAID, Event, payment

FAILED = ("payment_intent.payment_failed", 3, "pi", 25000, None)
ACTION = ("payment_intent.requires_action", 2, "pi", 25000, None)
PROCESSING = ("payment_intent.processing", 4, "pi", 25000, None)
CANCELED = ("payment_intent.canceled", 6, "pi", 25000, None)
BROKEN = ("refund.failed", 9, "re_1", 5000, "failed")
OTHER = ("refund.created", 8, "re_2", 20000, "succeeded")
CHARGE = ("charge.refunded", 8, "ch_1", 25000, None)
WON = ("charge.dispute.closed", 11, "du_1", 25000, "won")

SETS: dict[str, tuple[Event, ...]] = {
    "an attempt given up": (ACTION, FAILED, PROCESSING, CANCELED),
    "a capture after all": (ACTION, FAILED, PROCESSING, PAID, CANCELED),
    "a refund that fails late": (FAILED, PAID, MADE, DONE, BROKEN, OTHER),
    "refunds and a dispute won": (PAID, DONE, OTHER, CHARGE, OPENED, WON),
    "refunds and a dispute lost": (PAID, MADE, BROKEN, OPENED, LOST),
    "a part taken and given back": (ACTION, FAILED, PAID, OTHER, CHARGE),
}
# What the provider took where it is not the whole amount.
PARTS = {"a part taken and given back": 20000}

WALK = """
create function pg_temp.apply_event(e jsonb) returns text language sql as $$
  select apply_payment_event(
    e ->> 'id', e ->> 'type', '{}', true, to_timestamp((e ->> 'at')::int), e ->> 'object', (e ->> 'payment')::uuid,
    e ->> 'intent', null, (e ->> 'cents')::bigint, 'usd', e ->> 'status', (e ->> 'captured')::bigint
  ) ->> 'result'
$$;

create function pg_temp.state(p_payment_id uuid) returns jsonb language sql as $$
  select jsonb_build_object(
    'payment', (
      select to_jsonb(p) - array['id', 'idempotency_key', 'itinerary_id', 'created_at', 'updated_at', 'status_at']
      from payment.payments p where p.id = p_payment_id
    ),
    'refunds', (
      select jsonb_agg(array[r.provider_refund_id, r.amount_cents::text, r.status] order by r.provider_refund_id)
      from payment.refunds r where r.payment_id = p_payment_id
    ),
    'accounts', (
      select jsonb_object_agg(a.kind, a.balance_cents) from fin.accounts a
      where a.account like '%' || p_payment_id and a.balance_cents <> 0
    ),
    'deferred', (select count(*) from payment.webhook_events w where w.result = 'deferred'),
    -- Whether a refund was seen to succeed before it failed is history, and so is the exception of it.
    'open', (select count(*) from ops.exceptions x where x.status <> 'resolved' and x.kind <> 'refund'),
    'faults', (select jsonb_agg(v.problem) from fin.verify_ledger() v)
  )
$$;

create function pg_temp.every_order(p_all jsonb, p_left jsonb, out orders int, out states jsonb[])
language plpgsql as $$
declare
  v_event jsonb;
  v_below record;
begin
  orders := 0;
  states := '{}';
  if p_left = '[]' then
    orders := 1;
    set constraints all immediate;
    for v_event in select * from jsonb_array_elements(p_all) loop
      assert pg_temp.apply_event(v_event) = 'duplicate', v_event;
    end loop;
    states := array[pg_temp.state((p_all -> 0 ->> 'payment')::uuid)];
  end if;
  for v_place in 0 .. jsonb_array_length(p_left) - 1 loop
    begin
      perform pg_temp.apply_event(p_left -> v_place);
      v_below := pg_temp.every_order(p_all, p_left - v_place);
      raise sqlstate 'UNDOE';
    exception when sqlstate 'UNDOE' then
      orders := orders + v_below.orders;
      states := array(select distinct unnest(states || v_below.states));
    end;
  end loop;
end;
$$;
"""


@pytest.mark.parametrize("name", SETS)
async def test_every_order_of_the_same_events_ends_in_the_same_state(admin: asyncpg.Connection, name: str) -> None:
    owner = await payment(admin)
    await admin.execute(WALK)
    events = json.dumps(
        [
            {
                "id": f"{kind} {status}",
                "type": kind,
                "at": at,
                "object": subject,
                "cents": cents,
                "status": status,
                "captured": PARTS.get(name) if kind == "payment_intent.succeeded" else None,
                "intent": "pi",
                "payment": str(owner),
            }
            for kind, at, subject, cents, status in SETS[name]
        ]
    )
    found = await admin.fetchrow("select orders, states from pg_temp.every_order($1, $1)", events)
    assert found is not None
    assert found["orders"] == math.factorial(len(SETS[name]))
    states = [json.loads(state) for state in found["states"]]
    assert [states[0]] == states
    assert states[0]["faults"] is None
    if name in PARTS:
        assert states[0]["payment"]["captured_cents"] == states[0]["payment"]["refunded_cents"] == PARTS[name]
    # The walk undid what it did.
    assert await admin.fetchval("select count(*) from payment.webhook_events") == 0
