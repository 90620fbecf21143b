-- What the ops console reads. security_invoker: the caller's own rights and row policies decide.

create or replace view ops.v_bookings with (security_invoker = true) as
select
  id,
  id as itinerary_id,
  primary_supplier as supplier,
  primary_supplier,
  start_date,
  end_date,
  traveler,
  status,
  inventory_note,
  total_cents,
  currency,
  has_items,
  created_at,
  fin.amount(total_cents, currency) as total
from booking.itineraries
where (select sec.ops_only());
comment on view ops.v_bookings is 'One row per itinerary, for ops only.';

create or replace view ops.v_exceptions with (security_invoker = true) as
select
  id,
  kind as type,
  kind,
  status,
  supplier,
  last_error,
  occurred_at,
  attempts,
  source
from ops.exceptions
where (select sec.ops_only());
comment on view ops.v_exceptions is
'The ops queue, for ops only; source is fixtures for those that are made up, view for what really failed.';
