"""Staff in psql may leave a transaction open for as long as they like: what they may call must not stop the money."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from src.logins import login_dsn
from tests.support.postgres import settings
from tests.support.staff import CALLS, MAY_CALL, REFUSED, world

# One after the other, as HTTP and the worker do; all is undone again.
MONEY = """
do $$
declare
  v_payment text := start_checkout('{mine}', 25000, 'USD') ->> 'payment_id';
  v_refund text;
  v_contribution text;
begin
  perform record_payment_intent(v_payment::uuid, 'pi_' || v_payment);
  perform apply_payment_event(
    'evt_' || v_payment, 'payment_intent.succeeded', '{{}}', true, now(), 'pi_' || v_payment, v_payment::uuid,
    'pi_' || v_payment, null, 25000, 'usd'
  );
  v_refund := request_refund(v_payment::uuid, 5000, 'guest_cancelled') ->> 'refund_id';
  perform record_refund(v_refund::uuid, 'succeeded', 're_' || v_refund);
  perform generate_invoice('invoice', v_payment::uuid);
  v_contribution := contribute('{own_escrow}', 500, p_member_id => '{own_member}') ->> 'contribution_id';
  perform record_contribution_intent(v_contribution::uuid, 'pi_' || v_contribution);
  perform expire_escrows(), request_escrow_refunds(), claim_due_refunds(), claim_due_intents(), retry_webhook_events();
  perform claim_payouts();
end;
$$
"""


async def moved(dsn: str, here: Mapping[str, str]) -> str | None:
    """What stops the money, moved as the service does it, if anything does."""
    service = await asyncpg.connect(login_dsn(settings(dsn), "web_service"))
    transaction = service.transaction()
    await transaction.start()
    try:
        await service.execute("set lock_timeout = '300ms'")
        await service.execute(MONEY.format(**here))
    except asyncpg.PostgresError as error:
        return repr(error)
    finally:
        await transaction.rollback()
        await service.close()
    return None


async def test_what_staff_leave_open_does_not_stop_the_money(database: str, admin: asyncpg.Connection) -> None:
    may_call = {row[0] for row in await admin.fetch(MAY_CALL)}
    assert may_call - CALLS.keys() == set(), "a call of each, please"
    here = await world(admin)
    assert await moved(database, here) is None
    faults = {}
    for name in sorted(may_call):
        staff = await asyncpg.connect(login_dsn(settings(database), "psql_staff"))
        await staff.execute("set idle_in_transaction_session_timeout = 0; begin")
        try:
            await staff.execute(f"select {CALLS[name].format(**here)}")
        except asyncpg.PostgresError as error:
            if name not in REFUSED:
                faults[name] = f"was not called: {error}"
        else:
            if found := await moved(database, here):
                faults[name] = found
        await staff.close()
    assert faults == {}
