-- The ledger as the runbook reads it, over the entries beneath.

create or replace view fin.ledger with (security_invoker = true) as
select
  id,
  seq,
  occurred_at,
  recorded_at,
  payment_id,
  itinerary_id,
  entry_type,
  amount_cents,
  currency,
  provider_ref,
  note,
  encode(prev_hash, 'hex') as prev_hash,
  encode(hash, 'hex') as hash
from fin.entries;
comment on view fin.ledger is 'The facts of each payment in their order (runbook, ledger reconciliation).';
