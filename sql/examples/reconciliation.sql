-- The books of a day: ecotrips psql --service -v ON_ERROR_STOP=1 -f sql/examples/reconciliation.sql
-- What Stripe itself says of each payment is compared by: ecotrips ledger reconcile
set request.id = 'example-reconciliation';

-- Every chain, balance and sum walked again. No row is the proof.
select * from fin.verify_ledger();

-- Per currency: what payments say and what their facts say.
select
  p.currency,
  sum(p.captured_cents) as captured,
  sum(f.captured) as captured_in_ledger,
  sum(p.refunded_cents) as refunded,
  sum(f.refunded) as refunded_in_ledger,
  sum(p.captured_cents) = sum(f.captured) and sum(p.refunded_cents) = sum(f.refunded) as agrees
from payment.payments p
cross join lateral (
  select
    coalesce(sum(amount_cents) filter (where entry_type = 'capture_succeeded'), 0) as captured,
    coalesce(sum(
      case entry_type when 'refund_succeeded' then amount_cents when 'refund_failed' then -amount_cents end
    ) filter (
      where entry_type = 'refund_succeeded' or provider_ref in (
        select s.provider_ref from fin.ledger s where s.payment_id = p.id and s.entry_type = 'refund_succeeded'
      )
    ), 0) as refunded
  from fin.ledger l where l.payment_id = p.id
) f
group by p.currency order by p.currency;

-- What must still return to zero: refunds not settled, disputes not closed.
select kind, payment_id, balance_cents, currency, overdue from fin.clearing order by overdue desc, since;

-- Events that could not be applied, and why.
select id, type, attempts, last_error from payment.webhook_events where result = 'deferred' order by received_at;

-- Seals the days that have ended.
select public.seal_ledger() ->> 'ok' as sealed;
