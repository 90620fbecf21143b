-- Bookings as operators list them, and the columns that keep those lists fast.

create or replace function booking.refresh_itinerary() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- Locked first, so that the next statement sees the items of earlier transactions.
  perform from booking.itineraries where id in (select itinerary_id from touched) order by id for no key update;
  update booking.itineraries i
  set start_date = f.start_date, end_date = f.end_date, primary_supplier = f.primary_supplier, has_items = f.has_items
  from (
    select
      k.id,
      coalesce((min(x.start_at) at time zone 'UTC')::date, k.start_date) as start_date,
      coalesce((max(x.end_at) at time zone 'UTC')::date, k.end_date) as end_date,
      coalesce((array_agg(x.supplier_ref order by x.start_at, x.id))[1], k.primary_supplier) as primary_supplier,
      count(x.id) > 0 as has_items
    from booking.itineraries k
    left join booking.items x on x.itinerary_id = k.id
    where k.id in (select itinerary_id from touched)
    group by k.id
  ) f
  where i.id = f.id
    and (i.start_date, i.end_date, i.primary_supplier, i.has_items)
      is distinct from (f.start_date, f.end_date, f.primary_supplier, f.has_items);
  return null;
end;
$$;
comment on function booking.refresh_itinerary() is
'Keeps an itinerary''s dates (UTC), first supplier and has_items equal to its items, if it has any.';

create or replace trigger refresh_after_insert after insert on booking.items
referencing new table as touched for each statement execute function booking.refresh_itinerary();
create or replace trigger refresh_after_update after update on booking.items
referencing new table as touched for each statement execute function booking.refresh_itinerary();
create or replace trigger refresh_after_delete after delete on booking.items
referencing old table as touched for each statement execute function booking.refresh_itinerary();

create or replace function ops.list_bookings(
  p_start_from date, p_start_to date, p_supplier text, p_page int, p_page_size int
) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_from date;
  v_to date;
  v_skip bigint;
  v_rows json;
  v_total bigint;
begin
  perform sec.require_ops();
  v_from := coalesce(
    sec.valid_date('from', p_start_from, p_optional => true, p_message => 'Invalid from date'), '-infinity'
  );
  v_to := coalesce(sec.valid_date('to', p_start_to, p_optional => true, p_message => 'Invalid to date'), 'infinity');
  p_supplier := sec.valid_text('supplier', p_supplier, 0, 64, p_optional => true);
  p_page := sec.valid_integer('page', p_page, 1, 1000000000);
  p_page_size := sec.valid_integer('page_size', p_page_size, 1, 100);
  if v_from > v_to then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'from must not be after to';
  end if;
  v_skip := (p_page - 1)::bigint * p_page_size;
  -- A query for each case keeps its plan; "p_supplier is null or …" would be planned at every call.
  if p_supplier is null then
    select json_agg(page order by start_date, id) into v_rows from (
      select id, itinerary_id, supplier, primary_supplier, start_date, end_date, traveler, status, inventory_note,
        total_cents,
        currency, has_items, created_at
      from ops.v_bookings where start_date between v_from and v_to
      order by start_date, id limit p_page_size offset v_skip
    ) page;
    select count(*) into v_total from booking.itineraries where start_date between v_from and v_to;
  else
    select json_agg(page order by start_date, id) into v_rows from (
      select id, itinerary_id, supplier, primary_supplier, start_date, end_date, traveler, status, inventory_note,
        total_cents,
        currency, has_items, created_at
      from ops.v_bookings where supplier = upper(p_supplier) and start_date between v_from and v_to
      order by start_date, id limit p_page_size offset v_skip
    ) page;
    select count(*) into v_total from booking.itineraries
    where primary_supplier = upper(p_supplier) and start_date between v_from and v_to;
  end if;
  return json_strip_nulls(json_build_object(
    'ok', true,
    'data', coalesce(v_rows, '[]'),
    'request_id', sec.request_id(),
    'total', v_total,
    'page', p_page,
    'page_size', p_page_size,
    'source', 'view'
  ));
end;
$$;
comment on function ops.list_bookings(date, date, text, int, int) is
'Ops: one page of ops.v_bookings whose start date lies in the inclusive range.';
