-- What the hotel supplier said, who asks it just now, whether it may be asked, and rates kept for travellers.

create table inventory.cache (
  key text not null,
  -- Who answered: in live mode what fixtures said is never served.
  origin text not null check (origin in ('HBX', 'fixtures')),
  kind text not null check (kind in ('search', 'quote')),
  payload jsonb not null,
  fetched_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (key, origin)
);
create index cache_by_age on inventory.cache (fetched_at);

-- One caller of all processes asks the supplier for a key; the others wait for its row in the cache. Lost at a crash,
-- which only lets somebody ask again.
create unlogged table inventory.flights (
  key text not null,
  origin text not null,
  holder uuid not null,
  locked_until timestamptz not null,
  primary key (key, origin)
);

create table inventory.circuit (
  name text primary key,
  state text not null default 'closed' check (state in ('closed', 'open')),
  forced text check (forced in ('open', 'closed')),
  failures int not null default 0 check (failures >= 0),
  -- Counts changes of state: a call that began in another epoch has no vote. `version` counts every change of the row.
  epoch int not null default 0,
  version int not null default 0,
  opened_at timestamptz,
  cooldown_until timestamptz,
  probe_until timestamptz,
  updated_at timestamptz not null default now(),
  constraint open_until_some_time check (state = 'closed' or cooldown_until is not null)
);
comment on table inventory.circuit is
'Whether a supplier may be called. Open and past cooldown_until is half-open: one probe at a time, until probe_until.';
insert into inventory.circuit (name) values ('hbx');

create table inventory.holds (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  idempotency_key text not null check (length(idempotency_key) between 1 and 255),
  hold_ref text not null unique,
  source text not null check (source in ('HBX', 'fixtures')),
  supplier_hotel_id text not null,
  plan_id text not null,
  check_in date not null,
  check_out date not null,
  pax jsonb not null,
  total_cents bigint not null check (total_cents between 0 and 1000000000000),
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  quote jsonb not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  unique (user_id, idempotency_key),
  constraint hold_dates_in_order check (check_in < check_out)
);
