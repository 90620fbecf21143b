-- The ledger: facts (fin.entries) in one hash-chained, gapless stream for each payment or escrow, and beneath each fact
-- its balanced postings. Written by fin.post alone (sql/functions/ledger.sql); nobody changes or deletes.

create table fin.entry_types (
  entry_type text primary key,
  stream_kind text not null check (stream_kind in ('payment', 'escrow'))
);
comment on table fin.entry_types is 'What a fact may be, and whose stream it belongs to.';
insert into fin.entry_types values
  ('intent_created', 'payment'), ('capture_succeeded', 'payment'), ('capture_failed', 'payment'),
  ('refund_requested', 'payment'), ('refund_succeeded', 'payment'), ('refund_failed', 'payment'),
  ('dispute_opened', 'payment'), ('dispute_closed', 'payment'),
  ('escrow_funded', 'escrow'), ('escrow_released', 'escrow'), ('payout_succeeded', 'escrow'), ('payout_failed', 'escrow');

create table fin.sequences (
  previous text not null,
  next text not null references fin.entry_types (entry_type),
  primary key (previous, next)
);
comment on table fin.sequences is
'Which fact may follow which in one stream; previous is none for the first (runbook, ledger reconciliation).';
insert into fin.sequences values
  ('none', 'intent_created'),
  -- The provider refused to make an intent; a later try may get one.
  ('none', 'capture_failed'), ('capture_failed', 'intent_created'),
  ('intent_created', 'capture_succeeded'), ('intent_created', 'capture_failed'),
  ('capture_failed', 'capture_succeeded'), ('capture_failed', 'capture_failed'),
  ('capture_succeeded', 'refund_requested'), ('capture_succeeded', 'dispute_opened'),
  ('none', 'escrow_funded'), ('none', 'payout_succeeded'), ('none', 'payout_failed');
-- Refunds and disputes of one payment overlap. That each ends only once is held by the balances of its accounts.
insert into fin.sequences
select p.type, n.type
from unnest(array['refund_requested', 'refund_succeeded', 'refund_failed', 'dispute_opened', 'dispute_closed']) p (type)
cross join unnest(array['refund_requested', 'refund_succeeded', 'refund_failed', 'dispute_opened', 'dispute_closed']) n (type);
insert into fin.sequences
select p.type, n.type
from unnest(array['escrow_funded', 'escrow_released', 'payout_succeeded', 'payout_failed']) p (type)
cross join unnest(array['escrow_funded', 'escrow_released', 'payout_succeeded', 'payout_failed']) n (type);

create table fin.account_kinds (
  kind text primary key,
  -- 1: debits raise the balance (what we own), -1: credits do (what we owe).
  normal int not null check (normal in (1, -1)),
  -- What an account's name says after the colon. Accounts of a currency are shared by all payments: they keep no
  -- running balance, which would be one hot row, and are summed from the postings.
  scope text not null check (scope in ('currency', 'payment', 'escrow')),
  -- An account that must return to zero does so within this time (view fin.clearing).
  clears_within interval
);
comment on table fin.account_kinds is 'The chart of accounts: an account is named <kind>:<currency, payment or escrow id>.';
insert into fin.account_kinds values
  ('provider_clearing', 1, 'currency', null),
  ('dispute_losses', 1, 'currency', null),
  ('payment', -1, 'payment', null),
  ('refunds_payable', -1, 'payment', '3 days'),
  ('disputed', 1, 'payment', '90 days'),
  ('escrow', -1, 'escrow', null);

create table fin.heads (
  stream_id uuid primary key,
  stream_kind text not null check (stream_kind in ('payment', 'escrow')),
  seq int not null default 0,
  entry_type text not null default 'none',
  occurred_at timestamptz not null default '-infinity',
  hash bytea
);
comment on table fin.heads is 'The last fact of each stream. Its lock allots seq; a stream cut short no longer ends in its head.';

create table fin.entries (
  id uuid primary key,
  stream_id uuid not null,
  seq int not null check (seq >= 1),
  payment_id uuid references payment.payments (id),
  escrow_id uuid,
  occurred_at timestamptz not null,
  recorded_at timestamptz not null,
  itinerary_id uuid,
  -- No foreign keys to the small tables of types and kinds: their few rows would be locked by every writer at once.
  entry_type text not null,
  amount_cents bigint not null check (amount_cents between 0 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  -- Ids and codes only: no personal data can stand here.
  provider_ref text not null check (provider_ref ~ '^[!-~]{1,255}$'),
  note text check (note ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  prev_hash bytea,
  hash bytea not null,
  constraint entry_of_its_stream check (stream_id = coalesce(payment_id, escrow_id) and num_nonnulls(payment_id, escrow_id) = 1),
  unique (stream_id, seq),
  unique (stream_id, entry_type, provider_ref)
);
create index entries_by_payment on fin.entries (payment_id, occurred_at) where payment_id is not null;
create unique index entries_one_capture on fin.entries (stream_id) where entry_type = 'capture_succeeded';
create unique index entries_one_intent on fin.entries (stream_id) where entry_type = 'intent_created';
create index entries_by_recorded_at on fin.entries using brin (recorded_at);

create table fin.postings (
  entry_id uuid not null references fin.entries (id),
  line int not null check (line >= 1),
  account text not null,
  -- Debits are positive, credits negative; minor units of the entry's currency.
  amount_cents bigint not null check (amount_cents <> 0),
  primary key (entry_id, line)
);
create index postings_by_escrow on fin.postings (account) where account like 'escrow:%';

create table fin.accounts (
  account text primary key,
  kind text not null,
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  -- In the kind's normal direction. Never below zero: nobody refunds, releases or pays out what is not there.
  balance_cents bigint not null constraint account_covered check (balance_cents >= 0),
  -- How many postings made the balance.
  version bigint not null,
  updated_at timestamptz not null default now()
);
create index accounts_uncleared on fin.accounts (kind, updated_at)
where balance_cents <> 0 and kind in ('refunds_payable', 'disputed');

create table fin.checkpoints (
  -- Seals all that was recorded before this instant and after the checkpoint before.
  through timestamptz primary key,
  streams bigint not null,
  entries bigint not null,
  prev_root bytea,
  root bytea not null,
  made_at timestamptz not null default now()
);
comment on table fin.checkpoints is 'Daily roots over the heads of all streams, chained: who keeps one can prove the ledger up to it.';

-- One posting of a set: a debit is positive, a credit negative.
create type fin.line as (account text, amount_cents bigint);
