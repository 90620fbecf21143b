-- Payments, the webhook inbox and the ledger. All are written through functions only (sql/functions/payments.sql,
-- webhooks.sql, ledger.sql); the triggers beside those functions guard them against every writer, the owner included.

create table payment.transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table payment.transitions is 'The legal moves of payment.payments.status (API.md section 3).';
insert into payment.transitions values
  ('requires_action', 'processing'), ('requires_action', 'succeeded'), ('requires_action', 'failed'),
  ('requires_action', 'voided'), ('processing', 'requires_action'), ('processing', 'succeeded'),
  ('processing', 'failed'), ('processing', 'voided'), ('failed', 'processing'), ('failed', 'requires_action'),
  ('failed', 'succeeded'), ('failed', 'voided'), ('succeeded', 'refunded'), ('refunded', 'succeeded');

create table payment.payments (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: books outlive an erased itinerary, and offline checkouts may name one that is not stored.
  itinerary_id uuid not null,
  amount_cents bigint not null check (amount_cents between 1 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  status text not null default 'processing'
  check (status in ('requires_action', 'processing', 'succeeded', 'failed', 'refunded', 'voided')),
  mode text not null check (mode in ('live', 'mock')),
  intent_id text unique,
  provider_ref text,
  idempotency_key text not null unique check (length(idempotency_key) between 1 and 64),
  captured_cents bigint not null default 0,
  refunded_cents bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint captured_within_amount check (captured_cents between 0 and amount_cents),
  constraint refunded_within_captured check (refunded_cents between 0 and captured_cents)
);
create index payments_by_itinerary on payment.payments (itinerary_id, created_at desc);

create table payment.webhook_events (
  id text primary key check (length(id) between 1 and 255),
  type text not null,
  object_id text,
  payment_id uuid references payment.payments (id),
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  result text not null check (result in ('applied', 'ignored', 'deferred')),
  body jsonb not null
);
create index webhook_events_by_payment on payment.webhook_events (payment_id, received_at);

create table fin.sequences (
  previous text not null,
  next text not null,
  primary key (previous, next)
);
comment on table fin.sequences is
'Which entry type may follow which in one payment''s ledger; previous is none for the first (runbook, ledger reconciliation).';

create table fin.entries (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references payment.payments (id),
  seq int not null check (seq >= 1),
  occurred_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  itinerary_id uuid not null,
  entry_type text not null check (entry_type in (
    'intent_created', 'capture_succeeded', 'capture_failed', 'refund_requested', 'refund_succeeded', 'refund_failed',
    'dispute_opened', 'dispute_closed', 'payout_succeeded', 'payout_failed'
  )),
  amount_cents bigint not null check (amount_cents between 0 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  provider_ref text not null,
  note text,
  prev_hash bytea,
  hash bytea not null,
  unique (payment_id, seq),
  unique (entry_type, payment_id, provider_ref)
);

insert into fin.sequences values
  ('none', 'intent_created'),
  ('intent_created', 'capture_succeeded'), ('intent_created', 'capture_failed'),
  ('capture_failed', 'capture_succeeded'), ('capture_failed', 'capture_failed'),
  ('capture_succeeded', 'refund_requested'), ('capture_succeeded', 'dispute_opened'),
  ('refund_requested', 'refund_succeeded'), ('refund_requested', 'refund_failed'), ('refund_requested', 'refund_requested'),
  ('refund_succeeded', 'refund_requested'), ('refund_succeeded', 'refund_succeeded'),
  ('refund_succeeded', 'refund_failed'), ('refund_succeeded', 'dispute_opened'),
  ('refund_failed', 'refund_requested'), ('refund_failed', 'refund_succeeded'), ('refund_failed', 'refund_failed'),
  ('refund_failed', 'dispute_opened'), ('dispute_opened', 'dispute_closed'),
  ('dispute_closed', 'refund_requested'), ('dispute_closed', 'dispute_opened');
