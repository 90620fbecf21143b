-- People, the audit trail, and what operators watch and switch.

create table core.profiles (
  auth_user_id uuid primary key,
  persona text not null default 'traveller' check (persona in ('traveller', 'ops')),
  full_name text,
  email text,
  phone text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table audit.events (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  who text not null,
  what text not null,
  request_id text not null,
  payload jsonb not null default '{}'
);
create index events_request_id on audit.events (request_id);
create index events_what_at on audit.events (what, at);

create table ops.flags (
  name text primary key check (name in (
    'USE_FIXTURES', 'INVENTORY_OFFLINE', 'WA_OFFLINE', 'STRIPE_MOCK_MODE', 'OPS_REFUND_MODE', 'PAYOUTS_PAUSED',
    'ESCROW_REFUNDS_PAUSED'
  )),
  value text not null,
  updated_by text not null,
  updated_at timestamptz not null default now(),
  constraint flag_value_known check (
    case name when 'OPS_REFUND_MODE' then value in ('live', 'mock') else value in ('0', '1') end
  )
);

create table ops.exceptions (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('payment', 'webhook', 'payout', 'refund', 'message', 'erasure', 'circuit', 'ledger', 'sweep')),
  -- What failed: a payment's, event's, payout's … id. One unresolved row per cause.
  cause text not null,
  status text not null default 'open' check (status in ('open', 'retrying', 'resolved')),
  supplier text,
  last_error text not null,
  occurred_at timestamptz not null default now(),
  attempts int not null default 1 check (attempts >= 1),
  updated_at timestamptz not null default now()
);
create unique index exceptions_one_unresolved_per_cause on ops.exceptions (kind, cause) where status <> 'resolved';
create index exceptions_status_newest on ops.exceptions (status, occurred_at desc, id desc);
create index exceptions_newest on ops.exceptions (occurred_at desc, id desc);

-- Answers kept for 24 h so that a repeated request gets the first answer again (API.md section 1, Idempotency).
create table ops.idempotency_keys (
  caller text not null,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null,
  request_id text not null,
  -- Who runs the request; whoever comes after a lease ran out gets another one, so that only it can answer.
  claim uuid not null default gen_random_uuid() unique,
  status int,
  body text,
  created_at timestamptz not null default now(),
  locked_until timestamptz not null,
  primary key (caller, key)
);
create index idempotency_keys_created_at on ops.idempotency_keys (created_at);

-- Token buckets of callers, shared by all processes. Lost at a crash, which only refills them.
create unlogged table ops.rate_limits (
  function text not null,
  caller text not null,
  tokens double precision not null,
  refilled_at timestamptz not null,
  primary key (function, caller)
);
