-- Bookings as operators list them, and the columns that keep those lists fast.

create or replace function booking.refresh_itinerary() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog
as $$
begin
  update booking.itineraries i
  set (start_date, end_date, primary_supplier, has_items) = (
    select
      coalesce((min(start_at) at time zone 'UTC')::date, i.start_date),
      coalesce((max(end_at) at time zone 'UTC')::date, i.end_date),
      coalesce((array_agg(supplier_ref order by start_at, id))[1], i.primary_supplier),
      count(*) > 0
    from booking.items where itinerary_id = i.id
  )
  where i.id in (select itinerary_id from touched);
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
language plpgsql stable security definer set search_path = pg_catalog
as $$
begin
  perform sec.require_ops();
  return (
    with page as (
      select * from ops.v_bookings
      where start_date between coalesce(p_start_from, '-infinity') and coalesce(p_start_to, 'infinity')
        and (p_supplier is null or supplier = upper(p_supplier))
      order by start_date, id
      limit p_page_size offset (p_page - 1)::bigint * p_page_size
    )
    select json_strip_nulls(json_build_object(
      'ok', true,
      'data', coalesce((select json_agg(page order by start_date, id) from page), '[]'),
      'request_id', sec.request_id(),
      'total', (
        select count(*) from booking.itineraries
        where start_date between coalesce(p_start_from, '-infinity') and coalesce(p_start_to, 'infinity')
          and (p_supplier is null or primary_supplier = upper(p_supplier))
      ),
      'page', p_page,
      'page_size', p_page_size,
      'source', 'view'
    ))
  );
end;
$$;
comment on function ops.list_bookings(date, date, text, int, int) is
'Ops: one page of ops.v_bookings whose start date lies in the inclusive range (API.md section 2).';
