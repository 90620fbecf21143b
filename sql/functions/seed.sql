-- Made-up data of any volume, for measurements and demonstrations. Set-based; valid under every invariant. The rows of
-- a number are always the same, so seeding again adds only what is missing.

create or replace function meta.made_id(p_kind text, p_number bigint) returns uuid
language sql immutable
as $$ select overlay(overlay(md5(p_kind || ' ' || p_number) placing '4' from 13) placing '8' from 17)::uuid $$;
comment on function meta.made_id(text, bigint) is
'The id of the made-up row of a kind with this number, spread like a random one.';

create or replace function meta.seed_bookings(p_first int, p_last int) returns void
language sql volatile
as $$
  insert into booking.itineraries (
    id, user_id, traveler, status, currency, total_cents, created_at, start_date, end_date, primary_supplier, has_items
  )
  select
    meta.made_id('itinerary', n),
    -- Five journeys for each traveller.
    meta.made_id('traveller', n / 5),
    'Traveller ' || n / 5,
    (array['pending', 'confirmed', 'confirmed', 'completed', 'cancelled'])[n % 5 + 1],
    (array['USD', 'EUR', 'RWF'])[n % 3 + 1],
    10000 + n % 900 * 100,
    timestamptz '2024-01-01 00:00Z' + n % 1000 * interval '1 day',
    date '2025-01-01' + n % 730,
    date '2025-01-01' + n % 730 + 4,
    'SUP-' || lpad((n % 97)::text, 3, '0'),
    true
  from generate_series(p_first, p_last) n
  on conflict do nothing;

  insert into booking.items (
    id, itinerary_id, item_type, supplier_ref, start_at, end_at, pax, price_cents, currency
  )
  select
    meta.made_id(i.item_type, n),
    meta.made_id('itinerary', n),
    i.item_type,
    'SUP-' || lpad((n % 97)::text, 3, '0'),
    (date '2025-01-01' + n % 730 + i.first_day) at time zone 'UTC',
    (date '2025-01-01' + n % 730 + i.last_day) at time zone 'UTC',
    1 + n % 4,
    case i.item_type when 'hotel' then 10000 else n % 900 * 100 end,
    (array['USD', 'EUR', 'RWF'])[n % 3 + 1]
  from generate_series(p_first, p_last) n,
    (values ('hotel', 0, 4), ('activity', 1, 1)) i (item_type, first_day, last_day)
  on conflict do nothing;
$$;
comment on function meta.seed_bookings(int, int) is
'Administrator: makes the itineraries with these numbers, each with two items.';

create or replace function meta.made_payments(p_first int, p_last int)
returns table (
  number int, id uuid, itinerary_id uuid, amount_cents bigint, currency text, outcome text, began timestamptz
)
language sql immutable
as $$
  select
    n,
    meta.made_id('payment', n),
    meta.made_id('itinerary', n),
    10000 + n % 900 * 100,
    (array['USD', 'EUR', 'RWF'])[n % 3 + 1],
    -- Of ten payments seven are captured, one captured and refunded, one failed and one still under way.
    (array['captured', 'captured', 'captured', 'captured', 'captured', 'captured', 'captured', 'refunded', 'failed',
    'open'])[n % 10 + 1],
    timestamptz '2024-01-01 00:00Z' + n % 1000 * interval '1 day'
  from generate_series(p_first, p_last) n
  -- Materialized, so that ids are computed once.
  offset 0
$$;
comment on function meta.made_payments(int, int) is 'One payment for each made-up itinerary, and what becomes of it.';

create or replace function meta.made_facts(p_first int, p_last int) returns table (entry fin.entries, lines fin.line[])
language sql stable
as $$
  select
    row(
      meta.made_id('fact ' || f.seq, p.number), p.id, f.seq, p.id, null, p.began + f.after, now(), p.itinerary_id,
      f.entry_type,
      p.amount_cents, p.currency, f.provider_ref, null, null, null
    )::fin.entries,
    case when f.debit is null then '{}'::fin.line[] else fin.transfer(f.debit, f.credit, p.amount_cents) end
  from (
    select m.*, 'pi_mock_' || m.id as intent_id, meta.made_id('refund', m.number) as refund_id
    from meta.made_payments(p_first, p_last) m
    where not exists (select from fin.heads h where h.stream_id = m.id)
    offset 0
  ) p
  cross join lateral (values
    (1, 'intent_created', p.intent_id, interval '1 second', null, null, true),
    (2, 'capture_succeeded', p.intent_id, '1 minute', 'provider_clearing:' || p.currency, 'payment:' || p.id,
      p.outcome in ('captured', 'refunded')),
    (2, 'capture_failed', p.intent_id, '1 minute', null, null, p.outcome = 'failed'),
    (3, 'refund_requested', 'refund:' || p.refund_id, '1 day', 'payment:' || p.id, 'refunds_payable:'
    || p.id, p.outcome = 'refunded'),
    (4, 'refund_succeeded', 're_mock_' || p.refund_id, '1 day 1 second', 'refunds_payable:' || p.id,
      'provider_clearing:' || p.currency, p.outcome = 'refunded')
  ) f (seq, entry_type, provider_ref, after, debit, credit, happened)
  where f.happened
$$;
comment on function meta.made_facts(int, int) is
'The ledger''s facts of the made-up payments that have none yet, with their postings; not chained yet.';

create or replace function meta.chained(p_entry fin.entries, p_lines fin.line[], p_prev_hash bytea) returns fin.entries
language plpgsql immutable
as $$
begin
  p_entry.prev_hash := p_prev_hash;
  p_entry.hash := fin.entry_hash(p_entry, fin.lines_text(p_lines));
  return p_entry;
end;
$$;
comment on function meta.chained(fin.entries, fin.line[], bytea) is 'The fact with the hash before it and its own.';

create or replace function meta.seed_payments(p_first int, p_last int) returns void
language sql volatile
as $$
  insert into payment.payments (
    id, itinerary_id, amount_cents, currency, status, status_at, mode, intent_id, provider_ref, idempotency_key,
    captured_cents,
    created_at
  )
  select
    p.id, p.itinerary_id, p.amount_cents, p.currency,
    case p.outcome when 'failed' then 'failed' when 'open' then 'processing' else 'succeeded' end,
    p.began, 'mock', 'pi_mock_' || p.id,
    case when p.outcome in ('captured', 'refunded') then 'pi_mock_' || p.id end,
    'made-' || p.number,
    case when p.outcome in ('captured', 'refunded') then p.amount_cents else 0 end,
    p.began
  from meta.made_payments(p_first, p_last) p
  on conflict do nothing;

  -- A trigger adds them to their payments.
  insert into payment.refunds (
    id, payment_id, amount_cents, currency, status, origin, provider_refund_id, requested_at, processed_at
  )
  select
    meta.made_id('refund', p.number), p.id, p.amount_cents, p.currency, 'succeeded', 'request',
    're_mock_' || meta.made_id('refund', p.number), p.began + interval '1 day', p.began + interval '1 day 1 second'
  from meta.made_payments(p_first, p_last) p
  where p.outcome = 'refunded'
  on conflict do nothing;
$$;
comment on function meta.seed_payments(int, int) is
'Administrator: makes the payments of the itineraries with these numbers.';

create or replace function meta.seed_ledger(p_first int, p_last int) returns void
language sql volatile
as $$
  with recursive facts as materialized (
    select (f.entry).stream_id, (f.entry).seq, f.entry, f.lines from meta.made_facts(p_first, p_last) f
  ), chain (stream_id, seq, entry, lines) as (
    select f.stream_id, f.seq, meta.chained(f.entry, f.lines, null), f.lines from facts f where f.seq = 1
    union all
    select f.stream_id, f.seq, meta.chained(f.entry, f.lines, (c.entry).hash), f.lines
    from chain c join facts f on f.stream_id = c.stream_id and f.seq = c.seq + 1
  ), moved as materialized (
    select (c.entry).id as entry_id, (c.entry).currency, l.ordinality as line, l.account, l.amount_cents
    from chain c cross join unnest(c.lines) with ordinality l
  ), entries as (
    insert into fin.entries select (c.entry).* from chain c
  ), postings as (
    insert into fin.postings (entry_id, line, account, amount_cents) select entry_id, line, account, amount_cents
      from moved
  ), accounts as (
    insert into fin.accounts (account, kind, currency, balance_cents, version)
    select account, split_part(account, ':', 1), currency, -sum(amount_cents), count(*)
    from moved where account not like 'provider_clearing:%'
    group by account, currency
  )
  insert into fin.heads (stream_id, stream_kind, seq, entry_type, occurred_at, hash)
  select distinct on (stream_id) stream_id, 'payment', seq, (entry).entry_type, (entry).occurred_at, (entry).hash
  from chain order by stream_id, seq desc
$$;
comment on function meta.seed_ledger(int, int) is
'Administrator: makes the ledger of those payments, chained and balanced.';

create or replace function meta.seed_volume(p_first int, p_last int) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  select meta.seed_bookings(p_first, p_last);
  select meta.seed_payments(p_first, p_last);
  select meta.seed_ledger(p_first, p_last);
$$;
comment on function meta.seed_volume(int, int) is
'Administrator: makes the itineraries with these numbers, each with two items, a payment and its ledger.';
