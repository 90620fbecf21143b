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
  encode(hash, 'hex') as hash,
  fin.amount(amount_cents, currency) as amount
from fin.entries
where (select sec.ops_only());
comment on view fin.ledger is 'The facts of each payment in their order (runbook, ledger reconciliation).';

create or replace view fin.clearing with (security_invoker = true) as
select
  a.account,
  a.kind,
  split_part(a.account, ':', 2)::uuid as payment_id,
  a.currency,
  a.balance_cents,
  a.updated_at as since,
  a.updated_at + k.clears_within < now() as overdue,
  fin.amount(a.balance_cents, a.currency) as balance
from fin.accounts a
inner join fin.account_kinds k on k.kind = a.kind
where a.balance_cents <> 0 and a.kind in ('refunds_payable', 'disputed') and (select sec.ops_only());
comment on view fin.clearing is
'Accounts that must return to zero and have not: refunds not settled, disputes not closed; overdue after their '
'kind''s time.';
