-- A contribution to a group that has no itinerary is paid too, and whoever paid gets an invoice.

-- squawk-ignore ban-drop-not-null -- no client reads these rows but ops
alter table fin.invoices alter column itinerary_id drop not null;
