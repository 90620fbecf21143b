-- Requests for park permits. Written through functions only (sql/functions/permits.sql).

create table permits.transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table permits.transitions is 'The legal moves of permits.requests.status (API.md section 7).';
insert into permits.transitions values ('pending', 'approved'), ('pending', 'rejected'), ('pending', 'cancelled');

create table permits.requests (
  id uuid primary key default gen_random_uuid(),
  -- Null when nobody was signed in.
  user_id uuid,
  park text not null check (park in ('Volcanoes', 'Nyungwe', 'Akagera')),
  visit_date date not null,
  pax_count int not null check (pax_count > 0),
  status text not null default 'pending' check (status in ('pending', 'approved', 'rejected', 'cancelled')),
  -- The traveller's words, then one line for each decision.
  note text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index requests_by_user on permits.requests (user_id, created_at) where user_id is not null;
create index requests_pending on permits.requests (visit_date, id) where status = 'pending';
create index requests_approved on permits.requests (park, visit_date) include (pax_count) where status = 'approved';

create table permits.quota (
  park text primary key check (park in ('Volcanoes', 'Nyungwe', 'Akagera')),
  pax_per_day int not null check (pax_per_day >= 0)
);
comment on table permits.quota is 'How many visitors a park takes on one day; a park without a row takes any number.';
