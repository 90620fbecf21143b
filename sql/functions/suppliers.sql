-- When a booking was confirmed, for the suppliers' service levels.

create or replace function booking.note_confirmation() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status = 'confirmed' then
    new.confirmed_at := coalesce(new.confirmed_at, now());
  end if;
  return new;
end;
$$;
comment on function booking.note_confirmation() is 'Trigger: dates the first confirmation of an itinerary.';

create or replace trigger note_confirmation before insert or update of status on booking.itineraries
for each row execute function booking.note_confirmation();
