-- Refunds as the ops console lists them (docs/api.md, Names in the database).

create or replace view ops.v_refunds with (security_invoker = true) as
select
  r.id,
  p.itinerary_id,
  r.amount_cents,
  r.currency,
  r.status,
  r.reason,
  r.requested_at,
  r.processed_at,
  fin.amount(r.amount_cents, r.currency) as amount
from payment.refunds r
inner join payment.payments p on p.id = r.payment_id
where (select sec.ops_only());
comment on view ops.v_refunds is 'One row per refund, for ops only.';
