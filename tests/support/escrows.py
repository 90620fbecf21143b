"""Escrows of real money, made by their functions."""

from __future__ import annotations

import asyncpg

MET = """
do $$
declare
  v_group uuid := public.create_group('Trek', p_user_id => gen_random_uuid()) ->> 'group_id';
  v_member uuid := (select id from "group".members where group_id = v_group);
  v_escrow uuid;
  v_payment payment.payments;
begin
  for n in 1..{count} loop
    v_escrow := public.create_escrow(v_group, 500, now() + interval '1 day', p_min_members => 1) ->> 'escrow_id';
    v_payment := payment.locked((public.contribute(v_escrow, 500, p_member_id => v_member) ->> 'payment_id')::uuid);
    v_payment := payment.set_intent(v_payment, 'pi_' || v_payment.id);
    if {captured} then
      perform payment.capture(v_payment);
    end if;
  end loop;
end;
$$
"""


async def met_escrows(admin: asyncpg.Connection, count: int, *, captured: bool = True) -> list[str]:
    """Live escrows of $5.00, each met by one contribution; their ids."""
    await admin.execute(MET.format(count=count, captured=captured))
    return [row[0] for row in await admin.fetch('select id::text from "group".escrows')]
