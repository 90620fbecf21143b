-- Payments, refunds and the inbox of provider events. All are written through functions only (sql/functions/payments.sql,
-- refunds.sql, webhooks.sql); the triggers beside those functions guard them against every writer, the owner included.

create table payment.transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table payment.transitions is
'The legal moves of payment.payments.status (API.md section 3). A capture wins over all that came before it, even a cancel.';
insert into payment.transitions values
  ('requires_action', 'processing'), ('requires_action', 'succeeded'), ('requires_action', 'failed'),
  ('requires_action', 'voided'), ('processing', 'requires_action'), ('processing', 'succeeded'),
  ('processing', 'failed'), ('processing', 'voided'), ('failed', 'processing'), ('failed', 'requires_action'),
  ('failed', 'succeeded'), ('failed', 'voided'), ('voided', 'succeeded'), ('succeeded', 'refunded'), ('refunded', 'succeeded');

create table payment.payments (
  id uuid primary key default gen_random_uuid(),
  -- No foreign key: books outlive an erased itinerary, and offline checkouts may name one that is not stored. A
  -- contribution to a group's escrow may have none.
  itinerary_id uuid,
  amount_cents bigint not null check (amount_cents between 1 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  status text not null default 'processing'
  check (status in ('requires_action', 'processing', 'succeeded', 'failed', 'refunded', 'voided')),
  -- The provider's time of the event that gave the status, so that a late older event does not.
  status_at timestamptz not null default '-infinity',
  mode text not null check (mode in ('live', 'mock')),
  intent_id text unique,
  provider_ref text,
  idempotency_key text not null unique check (length(idempotency_key) between 1 and 64),
  captured_cents bigint not null default 0,
  refund_pending_cents bigint not null default 0,
  refunded_cents bigint not null default 0,
  -- The creation of the intent: which try the provider's key belongs to (a definite refusal ends one), and when the
  -- worker looks after it; null when nothing is to be done.
  intent_try int not null default 1,
  attempts int not null default 0,
  next_attempt_at timestamptz,
  last_error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint captured_within_amount check (captured_cents between 0 and amount_cents),
  constraint refunds_within_captured
  check (refund_pending_cents >= 0 and refunded_cents >= 0 and refund_pending_cents + refunded_cents <= captured_cents),
  constraint captured_when_succeeded check ((captured_cents > 0) = (status in ('succeeded', 'refunded'))),
  constraint refunded_when_refunded check ((refunded_cents > 0) = (status = 'refunded')),
  constraint captured_by_an_intent check (captured_cents = 0 or intent_id is not null)
);
create index payments_by_itinerary on payment.payments (itinerary_id, created_at desc);
create index payments_due on payment.payments (next_attempt_at) where next_attempt_at is not null;

create table payment.refund_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table payment.refund_transitions is
'The legal moves of payment.refunds.status: a refund may fail days after it succeeded, never the other way.';
insert into payment.refund_transitions values ('pending', 'succeeded'), ('pending', 'failed'), ('succeeded', 'failed');

create table payment.refunds (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references payment.payments (id),
  amount_cents bigint not null check (amount_cents between 1 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  status text not null default 'pending' check (status in ('pending', 'succeeded', 'failed')),
  -- request: asked for here; escrow: by an escrow that did not come about; provider: made at the provider, adopted.
  origin text not null check (origin in ('request', 'escrow', 'provider')),
  reason text check (length(reason) between 1 and 200),
  idempotency_key text check (length(idempotency_key) between 1 and 400),
  provider_refund_id text unique,
  attempts int not null default 0,
  next_attempt_at timestamptz,
  last_error text,
  requested_at timestamptz not null default now(),
  processed_at timestamptz,
  constraint refund_due_while_pending check (next_attempt_at is null or status = 'pending')
);
-- A refund that failed frees its key: asking again makes a new one, with a new key at the provider.
create unique index refunds_one_per_key on payment.refunds (idempotency_key) where status <> 'failed';
create index refunds_by_payment on payment.refunds (payment_id, requested_at);
create index refunds_due on payment.refunds (next_attempt_at) where next_attempt_at is not null;

create table payment.webhook_events (
  id text primary key check (length(id) between 1 and 255),
  type text not null,
  -- Proved by a signature. What is not may only move mock payments.
  signed boolean not null,
  object_id text,
  intent_id text,
  metadata_payment_id uuid,
  metadata_refund_id uuid,
  amount_cents bigint,
  currency text,
  object_status text,
  occurred_at timestamptz not null,
  received_at timestamptz not null default now(),
  -- The event as received, without what names people.
  body jsonb not null,
  payment_id uuid references payment.payments (id),
  result text not null default 'deferred' check (result in ('applied', 'ignored', 'deferred')),
  attempts int not null default 0,
  next_attempt_at timestamptz,
  last_error text,
  constraint event_due_while_deferred check (next_attempt_at is null or result = 'deferred')
);
create index webhook_events_by_payment on payment.webhook_events (payment_id, received_at);
create index webhook_events_deferred_by_intent on payment.webhook_events (intent_id) where result = 'deferred';
create index webhook_events_deferred_by_payment on payment.webhook_events (metadata_payment_id) where result = 'deferred';
create index webhook_events_due on payment.webhook_events (next_attempt_at) where next_attempt_at is not null;
