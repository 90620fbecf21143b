-- Invoices and credit notes: numbers without gaps, content frozen when the number is given.

-- Who issues the documents. One row, changed by fin.set_seller; documents keep the seller of their day.
create table fin.seller (
  only_row boolean primary key default true check (only_row),
  name text not null check (length(name) between 1 and 200),
  -- Lines of the postal address, separated by line feeds.
  address text not null check (length(address) between 1 and 500),
  tax_id text not null check (length(tax_id) between 1 and 64),
  email text not null check (length(email) between 3 and 200),
  country text not null check (country ~ '^[A-Z]{2}$'),
  tax_name text not null check (length(tax_name) between 1 and 32),
  -- Hundredths of a per cent: 1800 is 18 %. Prices include it.
  tax_rate_bp int not null check (tax_rate_bp between 0 and 10000),
  updated_at timestamptz not null default now()
);
-- A tax that is shown is owed, so none is until the seller says which.
insert into fin.seller (name, address, tax_id, email, country, tax_name, tax_rate_bp)
values ('ecoTrips Ltd', E'KG 7 Avenue\nKigali\nRwanda', 'TIN 000000000', 'finance@ecotrips.example', 'RW', 'VAT', 0);

-- The last number of each series of a day. Its row lock is what puts issuers in a row; a rollback gives the number back.
create table fin.number_series (
  prefix text not null check (prefix in ('INV', 'CN')),
  business_day date not null,
  last int not null check (last >= 1),
  primary key (prefix, business_day)
);

create table fin.invoices (
  id uuid primary key default gen_random_uuid(),
  payment_id uuid not null references payment.payments (id),
  itinerary_id uuid not null,
  kind text not null check (kind in ('invoice', 'credit_note')),
  number text not null unique check (length(number) between 1 and 64),
  total_cents bigint not null check (total_cents between 1 and 1000000000000),
  currency text not null check (currency in ('USD', 'EUR', 'RWF')),
  -- Below the bucket invoices.
  storage_path text not null unique,
  -- Hex SHA-256 of the document, once it was rendered and stored; every later rendering must give it again.
  sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
  created_at timestamptz not null default now(),
  business_day date not null,
  -- Everything the document says, so that no later change of a profile, booking or seller alters it.
  content jsonb not null,
  -- A credit note's refund and, if there is one, its invoice.
  refund_entry_id uuid unique references fin.entries (id),
  credited_invoice_id uuid references fin.invoices (id),
  -- When the worker renders it if nobody has by then.
  next_render_at timestamptz not null default now() + interval '1 minute',
  constraint credit_note_has_refund check ((kind = 'credit_note') = (refund_entry_id is not null)),
  constraint only_credit_notes_credit check (kind = 'credit_note' or credited_invoice_id is null)
);
create unique index invoices_one_per_payment on fin.invoices (payment_id) where kind = 'invoice';
create index invoices_by_payment on fin.invoices (payment_id, created_at);
create index invoices_by_itinerary on fin.invoices (itinerary_id);
create index invoices_credited on fin.invoices (credited_invoice_id) where credited_invoice_id is not null;
create index invoices_to_render on fin.invoices (next_render_at) where sha256 is null;
