-- Behind the input rules of sql/functions/arguments.sql: what no function lets in, no table keeps. Not valid: whatever an
-- earlier release kept stays, is not looked for, and is held to this once it is changed. What is only asked for
-- (pending, open) is held to it, so that a row from before can still be brought to its end.

alter table permits.requests
add constraint permit_asked_for check (status <> 'pending' or isfinite(visit_date) and pax_count <= 10000) not valid;

alter table "group".escrows
add constraint escrow_ends check (status <> 'open' or isfinite(deadline)) not valid;

alter table inventory.holds
add constraint hold_bounded check (
  isfinite(check_in) and isfinite(check_out) and length(supplier_hotel_id) between 1 and 64 and length(plan_id) between 1 and 128
) not valid;

alter table privacy.requests
add constraint reason_bounded check (status <> 'received' or length(reason) <= 500) not valid;

alter table payment.webhook_events
add constraint event_time_finite check (isfinite(occurred_at)) not valid;

-- What the service writes itself, through /rest/v1.
alter table booking.itineraries
add constraint dates_finite check (isfinite(start_date) and isfinite(end_date)) not valid;

alter table booking.items
add constraint item_times_finite check (isfinite(start_at) and isfinite(end_at)) not valid;
