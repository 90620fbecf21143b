-- What older clients of this system probe: named counters, and how suppliers keep their promises.

create table ops.counters (
  name text primary key check (name ~ '^[A-Za-z0-9._:-]{1,128}$'),
  count bigint not null,
  updated_at timestamptz not null default now()
);

create table booking.suppliers (
  code text primary key check (code = upper(code) and length(code) between 1 and 64),
  tier text not null check (tier in ('gold', 'silver', 'bronze')),
  -- How long the supplier may take to confirm a booking.
  confirmation_hours int not null check (confirmation_hours > 0)
);

alter table booking.itineraries add column confirmed_at timestamptz;
create index itineraries_awaiting_confirmation on booking.itineraries (primary_supplier, created_at)
where status = 'pending';
