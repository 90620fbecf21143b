-- Itineraries and their items. What lists filter and sort by is kept on the itinerary by a trigger on its items, so
-- that a page out of millions is one index scan.

create table booking.itineraries (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  group_id uuid,
  traveler text,
  status text not null default 'pending' check (status in ('pending', 'confirmed', 'completed', 'cancelled')),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  total_cents bigint not null check (total_cents between 0 and 1000000000000),
  notes text,
  inventory_note text,
  created_at timestamptz not null default now(),
  start_date date,
  end_date date,
  primary_supplier text check (primary_supplier = upper(primary_supplier) and length(primary_supplier) <= 64),
  has_items boolean not null default false,
  constraint dates_in_order check (start_date <= end_date)
);
create index itineraries_by_start on booking.itineraries (start_date, id);
create index itineraries_by_supplier_start on booking.itineraries (primary_supplier, start_date, id);
create index itineraries_by_user on booking.itineraries (user_id) where user_id is not null;
create index itineraries_by_group on booking.itineraries (group_id) where group_id is not null;

create table booking.items (
  id uuid primary key default gen_random_uuid(),
  itinerary_id uuid not null references booking.itineraries (id) on delete cascade,
  item_type text not null check (item_type in ('hotel', 'transfer', 'activity', 'permit', 'flight', 'fee')),
  supplier_ref text not null check (supplier_ref = upper(supplier_ref) and length(supplier_ref) between 1 and 64),
  start_at timestamptz not null,
  end_at timestamptz not null,
  pax int not null check (pax > 0),
  price_cents bigint not null check (price_cents between 0 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  constraint item_times_in_order check (start_at <= end_at)
);
create index items_by_itinerary on booking.items (itinerary_id, start_at, id);
