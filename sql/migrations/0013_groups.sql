-- Groups that pay for a trip together: members, escrows that collect their money, and payouts of what was collected.
-- Written through functions only (sql/functions/groups.sql, escrows.sql, payouts.sql).

create table "group".group_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table "group".group_transitions is 'The legal moves of "group".groups.status: a locked group takes no members.';
insert into "group".group_transitions values ('open', 'locked'), ('locked', 'open'), ('open', 'cancelled'), ('locked', 'cancelled');

create table "group".groups (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 120),
  -- How many people the group hopes for; more may join.
  size_target int check (size_target between 1 and 10000),
  -- No foreign key: groups outlive an erased itinerary, and offline ones may name one that is not stored.
  itinerary_id uuid,
  status text not null default 'open' check (status in ('open', 'locked', 'cancelled')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table "group".members (
  id uuid primary key default gen_random_uuid(),
  group_id uuid not null references "group".groups (id),
  user_id uuid not null,
  role text not null default 'member' check (role in ('owner', 'member')),
  joined_at timestamptz not null default now(),
  constraint member_once unique (group_id, user_id)
);
create unique index members_one_owner on "group".members (group_id) where role = 'owner';
create index members_by_user on "group".members (user_id);

create table "group".escrow_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table "group".escrow_transitions is 'The legal moves of "group".escrows.status (API.md section 8).';
insert into "group".escrow_transitions values
  ('open', 'met'), ('open', 'expired'), ('open', 'cancelled'), ('met', 'paid_out'), ('met', 'cancelled');

create table "group".escrows (
  id uuid primary key default gen_random_uuid(),
  group_id uuid not null references "group".groups (id),
  itinerary_id uuid,
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  target_cents bigint not null check (target_cents between 1 and 1000000000000),
  min_members int not null check (min_members between 1 and 10000),
  deadline timestamptz not null,
  status text not null default 'open' check (status in ('open', 'met', 'expired', 'cancelled', 'paid_out')),
  -- Counted from the contributions by "group".recount alone: pledged (payments that did not fail), captured and not
  -- refunded, and what a payout may count: pledges of mock payments, captures of live ones.
  total_cents bigint not null default 0 check (total_cents >= 0),
  captured_cents bigint not null default 0 check (captured_cents >= 0),
  payable_cents bigint not null default 0 check (payable_cents >= 0),
  contributors int not null default 0 check (contributors >= 0),
  created_at timestamptz not null default now(),
  paid_out_at timestamptz,
  constraint paid_out_has_its_time check ((status = 'paid_out') = (paid_out_at is not null))
);
create index escrows_by_group on "group".escrows (group_id, created_at);
create index escrows_open_by_deadline on "group".escrows (deadline, id) where status = 'open';
create index escrows_payable on "group".escrows (created_at, id) where status = 'met' and payable_cents >= target_cents;

create table "group".contributions (
  id uuid primary key default gen_random_uuid(),
  escrow_id uuid not null references "group".escrows (id),
  member_id uuid not null references "group".members (id),
  amount_cents bigint not null check (amount_cents between 1 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  payment_id uuid not null unique references payment.payments (id),
  -- The payment's mode: only captures of live payments are money, a mock payment's pledge counts as well.
  live boolean not null,
  -- What "group".recount saw last: the part that is promised or there, and the part that lies in the escrow's account.
  pledged_cents bigint not null default 0 check (pledged_cents >= 0),
  held_cents bigint not null default 0 check (held_cents >= 0),
  -- How often money moved between the payment's account and the escrow's: part of each movement's name in the ledger.
  movements int not null default 0,
  -- The part that the escrow's payout includes, and how much of that has left the escrow's account: with mock payments a
  -- pledge may be paid out before it is captured.
  paid_cents bigint not null default 0 check (paid_cents >= 0),
  settled_cents bigint not null default 0 check (settled_cents between 0 and paid_cents),
  -- due: money of a closed escrow that must go back; requested: a refund of it is under way; attention: ops decide.
  refund_status text check (refund_status in ('due', 'requested', 'refunded', 'attention')),
  refund_id uuid references payment.refunds (id),
  refund_next_at timestamptz,
  created_at timestamptz not null default now(),
  constraint refund_has_its_row check (refund_status in ('due', 'attention') or (refund_status is null) = (refund_id is null))
);
create index contributions_by_escrow on "group".contributions (escrow_id, member_id) include (pledged_cents, held_cents);
create index contributions_by_member on "group".contributions (member_id, created_at);
create index contributions_refund_due on "group".contributions (refund_next_at) where refund_status = 'due';

create table "group".payout_transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table "group".payout_transitions is
'The legal moves of "group".payouts.status. needs_reconcile: nobody knows whether the provider paid; ops find out.';
insert into "group".payout_transitions values
  ('processing', 'succeeded'), ('processing', 'failed'), ('processing', 'needs_reconcile'), ('failed', 'processing'),
  ('needs_reconcile', 'processing'), ('needs_reconcile', 'succeeded'), ('needs_reconcile', 'failed');

create table "group".payouts (
  id uuid primary key default gen_random_uuid(),
  escrow_id uuid not null constraint payout_once unique references "group".escrows (id),
  total_cents bigint not null check (total_cents >= 0),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  mode text not null check (mode in ('live', 'mock')),
  status text not null check (status in ('processing', 'succeeded', 'failed', 'needs_reconcile')),
  attempts int not null default 0 check (attempts >= 0),
  last_error text,
  provider_ref text,
  -- Part of the provider's key payout:<escrow>:<generation>. A definite refusal ends a generation; an unknown outcome is
  -- asked for again in the same one.
  generation int not null default 1 check (generation >= 1),
  generation_at timestamptz not null default now(),
  -- Grows with every claim: who finishes under an older number is too late.
  claim int not null default 0,
  locked_until timestamptz,
  -- When workers try again; null when they do not.
  next_attempt_at timestamptz,
  -- Asked for by ops: done also while PAYOUTS_PAUSED is on.
  requested boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payout_due_while_unfinished check (next_attempt_at is null or status in ('processing', 'failed'))
);
create index payouts_due on "group".payouts (next_attempt_at) where next_attempt_at is not null;
create index payouts_newest on "group".payouts (created_at desc, id desc);
