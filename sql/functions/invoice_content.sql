-- What invoices and credit notes say: number, seller, buyer, lines, tax; frozen when they are issued.

create or replace function fin.set_seller(
  p_name text, p_address text, p_tax_id text, p_email text, p_country text, p_tax_name text, p_tax_rate_bp int
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_name := sec.valid_text('name', p_name, 1, 200);
  p_address := sec.valid_text('address', p_address, 1, 500);
  p_tax_id := sec.valid_text('tax_id', p_tax_id, 1, 64);
  p_email := sec.valid_text('email', p_email, 3, 200);
  p_country := sec.valid_pattern(p_country, '^[A-Z]{2}$', 'country must be two capital letters (ISO 3166-1)');
  p_tax_name := sec.valid_text('tax_name', p_tax_name, 1, 32);
  p_tax_rate_bp := sec.valid_integer('tax_rate_bp', p_tax_rate_bp, 0, 10000);
  update fin.seller
  set name = p_name, address = p_address, tax_id = p_tax_id, email = p_email, country = p_country,
    tax_name = p_tax_name, tax_rate_bp = p_tax_rate_bp, updated_at = now();
  perform audit.record('seller.set', jsonb_build_object('tax_id', p_tax_id, 'tax_rate_bp', p_tax_rate_bp));
end;
$$;
comment on function fin.set_seller(text, text, text, text, text, text, int) is
'Ops: who issues documents from now on; p_tax_rate_bp is in hundredths of a per cent (1800 is 18 %) and included in '
'prices.';

create or replace function fin.next_number(p_prefix text, p_day date) returns text
language plpgsql volatile
as $$
declare
  v_last int;
begin
  insert into fin.number_series as s (prefix, business_day, last) values (p_prefix, p_day, 1)
  on conflict (prefix, business_day) do update set last = s.last + 1
  returning last into v_last;
  -- lpad truncates, so the 10,000th number of a day needs a greater length.
  return format(
    '%s-%s-%s', p_prefix, to_char(p_day, 'YYYYMMDD'), lpad(v_last::text, greatest(4, length(v_last::text)), '0')
  );
end;
$$;
comment on function fin.next_number(text, date) is
'The next number of a day''s series, for instance INV-20261124-0001; holds that series until the transaction ends.';

create or replace function fin.invoice_lines(p_payment payment.payments) returns jsonb
language sql stable
as $$
  with items as (
    select
      i.start_at, i.id, i.price_cents,
      jsonb_build_object(
        'description', initcap(i.item_type),
        'from', (i.start_at at time zone 'UTC')::date,
        'to', (i.end_at at time zone 'UTC')::date,
        'travellers', i.pax,
        'amount_cents', i.price_cents
      ) as line,
      i.currency = p_payment.currency as same_currency
    from booking.items i
    where i.itinerary_id = p_payment.itinerary_id
  )
  -- Items are listed only if they add up to the payment; a deposit or a share is one line.
  select case
    when bool_and(same_currency) and sum(price_cents) = p_payment.captured_cents
      then jsonb_agg(line order by start_at, id)
    else jsonb_build_array(jsonb_build_object(
      'description', case
        when exists (select from "group".contributions c where c.payment_id = p_payment.id)
          then 'Share of a group''s travel services'
        else 'Travel services as booked'
      end,
      'amount_cents', p_payment.captured_cents
    ))
  end
  from items
$$;
comment on function fin.invoice_lines(payment.payments) is
'The lines of a payment''s invoice: the booking''s items when they add up to what was captured, else one line for all.';

create or replace function fin.tax_within(p_total_cents bigint, p_tax jsonb) returns jsonb
language sql immutable
as $$
  select p_tax || jsonb_build_object('net_cents', p_total_cents - t.cents, 'tax_cents', t.cents)
  from (
    select round(p_total_cents * (p_tax ->> 'rate_bp')::numeric / (10000 + (p_tax ->> 'rate_bp')::int))::bigint as cents
  ) t
$$;
comment on function fin.tax_within(bigint, jsonb) is
'A tax {name, rate_bp} with what it makes of a total that includes it, in minor units; halves are rounded up.';

create or replace function fin.invoice_content(
  p_payment payment.payments, p_lines jsonb, p_total_cents bigint, p_at timestamptz, p_day date, p_facturx boolean
) returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'issued_at', to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'issued_on', p_day,
    'seller', jsonb_build_object(
      'name', s.name, 'address', s.address, 'tax_id', s.tax_id, 'email', s.email, 'country', s.country
    ),
    'buyer', jsonb_strip_nulls(jsonb_build_object(
      -- Contributors pay for themselves, whoever owns the trip.
      'name', case when c.id is null then i.traveler else r.full_name end,
      'reference', coalesce(p_payment.itinerary_id, p_payment.id)
    )),
    'currency', p_payment.currency,
    'lines', p_lines,
    'tax', fin.tax_within(p_total_cents, jsonb_build_object('name', s.tax_name, 'rate_bp', s.tax_rate_bp)),
    'total_cents', p_total_cents,
    'payment', jsonb_build_object('id', p_payment.id, 'reference', p_payment.intent_id),
    'facturx', p_facturx
  )
  from fin.seller s
  left join booking.itineraries i on i.id = p_payment.itinerary_id
  left join "group".contributions c on c.payment_id = p_payment.id
  left join "group".members m on m.id = c.member_id
  left join core.profiles r on r.auth_user_id = m.user_id
$$;
comment on function fin.invoice_content(payment.payments, jsonb, bigint, timestamptz, date, boolean) is
'What a document says, beside its number: seller, buyer, lines, tax within the total, payment.';
