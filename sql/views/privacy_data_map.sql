-- The data map: what every column of every table says of a person, and what becomes of it when they ask to be erased.
-- Applied again when it changes. A new column is one word in the last lists; a new table is a line there, and when it
-- holds data of persons a line in each of the first two. `select * from privacy.map_faults` says what is missing.

delete from privacy.mapped_tables;
delete from privacy.retention;

-- Table, its name in an export, what an erasure does with a person's rows (delete, redact: some of its columns, keep),
-- why rows are kept, how long, from which column on, and where files are. Ten years: how long Rwanda's tax law keeps
-- books; set what the law of the business says.
insert into privacy.mapped_tables (
  table_schema, table_name, label, erasure, legal_basis, retain_for, retain_from, files, files_kept
)
select split_part(name, '.', 1), split_part(name, '.', 2), label, erasure, legal_basis, retain_for::interval,
  retain_from, files,
  erasure = 'keep'
from (values
  ('core.profiles', 'Profile', 'delete', null, null, null, 'travellers/{auth_user_id}/'),
  ('booking.itineraries', 'Trips', 'redact', 'tax and accounting records of sales', '10 years', 'created_at', null),
  ('booking.items', 'Parts of trips', 'keep', 'tax and accounting records of sales', '10 years', 'end_at', null),
  ('payment.payments', 'Payments', 'keep', 'tax and accounting records of payments', '10 years', 'created_at', null),
  ('payment.refunds', 'Refunds', 'redact', 'tax and accounting records of payments', '10 years', 'requested_at', null),
  ('payment.webhook_events', 'Messages of the payment provider', 'redact', 'tax and accounting records of payments',
  '10 years', 'occurred_at', null),
  ('fin.entries', 'Ledger entries', 'keep', 'tax and accounting records of payments', '10 years', 'occurred_at', null),
  ('fin.invoices', 'Invoices and credit notes', 'keep', 'tax law: issued documents never change', '10 years',
  'created_at', 'invoices/{storage_path}'),
  ('wa.messages', 'WhatsApp messages', 'delete', null, null, null, null),
  ('wa.contacts', 'WhatsApp number', 'delete', null, null, null, null),
  ('wa.statuses', 'Deliveries of WhatsApp messages', 'delete', null, null, null, null),
  ('permits.requests', 'Permit requests', 'redact', null, null, null, null),
  ('group.groups', 'Groups you made', 'redact', 'tax and accounting records of payments', '10 years', 'created_at',
  null),
  ('group.members', 'Groups you travel with', 'redact', 'tax and accounting records of payments', '10 years',
  'joined_at', null),
  ('group.contributions', 'What you put into groups'' escrows', 'keep', 'tax and accounting records of payments',
  '10 years', 'created_at', null),
  ('privacy.requests', 'Privacy requests', 'redact', 'proof that requests were answered', '10 years', 'created_at',
  'privacy_exports/{id}/'),
  ('audit.events', 'What was done in your name', 'keep', 'security and accountability', '10 years', 'at', null),
  ('ops.idempotency_keys', 'Answers kept for a day', 'delete', null, null, null, null),
  ('inventory.holds', 'Prices held for you', 'delete', null, null, null, null),
  ('ops.rate_limits', 'Limits on calls', 'delete', null, null, null, null),
  ('ops.flags', 'Switches you turned', 'redact', null, null, null, null)
) as tables (name, label, erasure, legal_basis, retain_for, retain_from, files);

-- How a row leads to its person: by a column that holds their id (or its text), or through the row of another table
-- with the same value. Of a table's several links, a fallback counts where none of the others leads to anybody.
insert into privacy.links (
  table_schema, table_name, column_name, parent_schema, parent_table, parent_column, fallback, compare
)
select split_part(name, '.', 1), split_part(name, '.', 2), split_part(name, '.', 3),
  nullif(split_part(parent, '.', 1), ''),
  nullif(split_part(parent, '.', 2), ''), nullif(split_part(parent, '.', 3), ''), fallback,
  case when parent = 'core.profiles.phone' then 'digits' else 'equal' end
from (values
  ('core.profiles.auth_user_id', '', false),
  ('booking.itineraries.user_id', '', false),
  ('booking.items.itinerary_id', 'booking.itineraries.id', false),
  ('payment.payments.id', 'group.contributions.payment_id', false),
  ('payment.payments.itinerary_id', 'booking.itineraries.id', true),
  ('payment.refunds.payment_id', 'payment.payments.id', false),
  ('payment.webhook_events.payment_id', 'payment.payments.id', false),
  ('fin.entries.payment_id', 'payment.payments.id', false),
  ('fin.invoices.payment_id', 'payment.payments.id', false),
  ('wa.messages.msisdn', 'core.profiles.phone', false),
  ('wa.contacts.msisdn', 'core.profiles.phone', false),
  ('wa.statuses.provider_message_id', 'wa.messages.provider_message_id', false),
  ('permits.requests.user_id', '', false),
  ('group.groups.id', 'group.members.owned_group_id', false),
  ('group.members.user_id', '', false),
  ('group.contributions.member_id', 'group.members.id', false),
  ('privacy.requests.subject_user_id', '', false),
  ('audit.events.who', '', false),
  ('ops.idempotency_keys.caller', '', false),
  ('ops.flags.updated_by', '', false),
  ('inventory.holds.user_id', '', false),
  ('ops.rate_limits.caller', '', false)
) as links (name, parent, fallback);

-- Table, category, what an erasure does with the columns of a redacted table (null, redact, token or keep; the other
-- tables say it for all of theirs), and the columns. Persons get a copy of all of theirs but the technical ones.
insert into privacy.data_map (
  table_schema, table_name, column_name, category, subject_path, exported, label, erase_action, legal_basis, retain_for,
  files
)
select m.table_schema, m.table_name, column_name, category,
  privacy.path_of(m.table_schema, m.table_name),
  category <> 'technical',
  initcap(replace(column_name, '_', ' ')),
  case m.erasure when 'redact' then coalesce(action, 'keep') else m.erasure end,
  m.legal_basis, m.retain_for,
  case when m.files like '%{' || column_name || '}%' then m.files end
from (values
  ('core.profiles', 'identity', null, 'auth_user_id full_name persona'),
  ('core.profiles', 'contact', null, 'email phone'),
  ('core.profiles', 'technical', null, 'created_at updated_at'),
  ('booking.itineraries', 'identity', 'token', 'user_id'),
  ('booking.itineraries', 'identity', 'null', 'traveler'),
  ('booking.itineraries', 'free_text', 'null', 'notes inventory_note'),
  ('booking.itineraries', 'travel', null,
  'id group_id status currency total_cents created_at confirmed_at start_date end_date primary_supplier'),
  ('booking.itineraries', 'technical', null, 'has_items'),
  ('booking.items', 'travel', null, 'id itinerary_id item_type supplier_ref start_at end_at pax price_cents currency'),
  ('payment.payments', 'payment', null,
  'id itinerary_id amount_cents currency status provider_ref captured_cents refunded_cents created_at'),
  ('payment.payments', 'technical', null,
  'mode intent_id idempotency_key updated_at status_at refund_pending_cents intent_try attempts next_attempt_at '
  'last_error'),
  ('payment.refunds', 'payment', null, 'id payment_id amount_cents currency status origin requested_at processed_at'),
  ('payment.refunds', 'free_text', 'null', 'reason'),
  ('payment.refunds', 'technical', null, 'idempotency_key provider_refund_id attempts next_attempt_at last_error'),
  ('payment.webhook_events', 'payment', null,
  'id type payment_id amount_cents captured_cents currency object_status occurred_at result'),
  ('payment.webhook_events', 'payment', 'redact', 'body'),
  ('payment.webhook_events', 'technical', null,
  'object_id intent_id metadata_payment_id metadata_refund_id signed received_at attempts next_attempt_at last_error'),
  ('fin.entries', 'payment', null,
  'id payment_id seq occurred_at itinerary_id entry_type amount_cents currency provider_ref note'),
  ('fin.entries', 'technical', null, 'stream_id escrow_id recorded_at prev_hash hash'),
  ('fin.invoices', 'payment', null,
  'id payment_id itinerary_id kind number total_cents currency created_at business_day content refund_entry_id '
  'credited_invoice_id'),
  ('fin.invoices', 'technical', null, 'storage_path sha256 next_render_at'),
  ('wa.messages', 'contact', null, 'msisdn'),
  ('wa.messages', 'message', null,
  'id direction type body url template status created_at sent_at delivered_at read_at failed_at'),
  ('wa.messages', 'technical', null,
  'mode link_template sent_as provider_message_id attempts next_attempt_at locked_until error_code updated_at'),
  ('wa.contacts', 'contact', null, 'msisdn'),
  ('wa.contacts', 'message', null, 'last_inbound_at'),
  ('wa.contacts', 'technical', null, 'hold_until updated_at'),
  ('wa.statuses', 'message', null, 'status occurred_at'),
  ('wa.statuses', 'technical', null, 'provider_message_id error_code received_at'),
  ('group.groups', 'free_text', 'redact', 'name'),
  ('group.groups', 'travel', null, 'id size_target itinerary_id status created_at'),
  ('group.groups', 'technical', null, 'updated_at'),
  ('group.members', 'identity', 'token', 'user_id'),
  ('group.members', 'travel', 'keep', 'id group_id role joined_at'),
  ('group.members', 'technical', null, 'owned_group_id'),
  ('group.contributions', 'payment', null,
  'id escrow_id member_id amount_cents currency payment_id refund_status created_at'),
  ('group.contributions', 'technical', null,
  'live pledged_cents held_cents movements paid_cents settled_cents refund_id refund_next_at'),
  ('permits.requests', 'identity', 'null', 'user_id'),
  ('permits.requests', 'free_text', 'null', 'note'),
  ('permits.requests', 'travel', null, 'id park visit_date pax_count status created_at'),
  ('permits.requests', 'technical', null, 'updated_at'),
  ('privacy.requests', 'identity', null, 'requester_user_id subject_user_id'),
  ('privacy.requests', 'free_text', 'null', 'reason decision_note extension_reason'),
  ('privacy.requests', 'message', null, 'id kind status due_at created_at'),
  ('privacy.requests', 'technical', null,
  'plan_sha256 planned_at export_path export_sha256 export_expires_at reminded_at updated_at'),
  ('audit.events', 'identity', null, 'who'),
  ('audit.events', 'message', null, 'at what payload'),
  ('audit.events', 'technical', null, 'id request_id login'),
  ('ops.idempotency_keys', 'identity', null, 'caller'),
  ('ops.idempotency_keys', 'message', null, 'key body created_at'),
  ('ops.idempotency_keys', 'technical', null, 'request_hash request_id status locked_until claim'),
  ('inventory.holds', 'identity', null, 'user_id'),
  ('inventory.holds', 'travel', null,
  'id hold_ref source supplier_hotel_id plan_id check_in check_out pax total_cents currency quote created_at '
  'expires_at'),
  ('inventory.holds', 'technical', null, 'idempotency_key'),
  ('ops.rate_limits', 'identity', null, 'caller'),
  ('ops.rate_limits', 'message', null, 'function'),
  ('ops.rate_limits', 'technical', null, 'tokens refilled_at'),
  ('ops.flags', 'identity', 'token', 'updated_by'),
  ('ops.flags', 'message', null, 'name value updated_at')
) as columns (name, category, action, column_names)
join privacy.mapped_tables m on name = m.table_schema || '.' || m.table_name
cross join unnest(string_to_array(column_names, ' ')) as column_name;

-- Tables that have nothing to do with single persons, with their columns.
with tables (name, column_names) as (
  values
  ('booking.suppliers', 'code tier confirmation_hours'),
  ('catalog.postings', 'term_id place_id kind popularity'),
  ('catalog.search_index',
  'id slug entity_type entity_id title subtitle keywords metadata popularity updated_at words'),
  ('catalog.terms', 'id term popularity'),
  ('fin.account_kinds', 'kind normal scope clears_within'),
  ('fin.accounts', 'account kind currency balance_cents version updated_at'),
  ('fin.checkpoints', 'through streams entries prev_root root made_at'),
  ('fin.entry_types', 'entry_type stream_kind'),
  ('fin.heads', 'stream_id stream_kind seq entry_type occurred_at hash'),
  ('fin.number_series', 'prefix business_day last'),
  ('fin.postings', 'entry_id line account amount_cents'),
  ('fin.seller', 'only_row name address tax_id email country tax_name tax_rate_bp updated_at'),
  ('fin.sequences', 'previous next'),
  ('group.group_transitions', 'from_status to_status'),
  ('group.escrows',
  'id group_id itinerary_id currency target_cents min_members deadline status total_cents captured_cents payable_cents '
  'contributors created_at paid_out_at'),
  ('group.escrow_transitions', 'from_status to_status'),
  ('group.payouts',
  'id escrow_id total_cents currency mode status attempts last_error provider_ref generation generation_at claim '
  'locked_until next_attempt_at requested created_at updated_at'),
  ('group.payout_transitions', 'from_status to_status'),
  ('inventory.cache', 'key origin kind payload fetched_at expires_at'),
  ('inventory.circuit', 'name state forced failures epoch version opened_at cooldown_until probe_until updated_at'),
  ('inventory.flights', 'key origin holder locked_until'),
  ('meta.applied', 'file digest ordinal applied_at'),
  ('meta.environment', 'only_row name changed_at'),
  ('meta.releases', 'place digest applied_at'),
  ('ops.counters', 'name count updated_at'),
  ('ops.exceptions', 'id kind cause status supplier last_error occurred_at attempts updated_at retry_note source'),
  ('ops.switch_defaults', 'name value'),
  ('ops.sweeps', 'name slot request_id claimed_at finished_at handled failures next_at last_error'),
  ('payment.refund_transitions', 'from_status to_status'),
  ('payment.transitions', 'from_status to_status'),
  ('permits.quota', 'park pax_per_day'),
  ('permits.transitions', 'from_status to_status'),
  ('privacy.service_key', 'only_row id'),
  ('privacy.certificates', 'request_id body'),
  ('privacy.data_map',
  'table_schema table_name column_name category subject_path exported label erase_action legal_basis retain_for files'),
  ('privacy.links', 'table_schema table_name column_name parent_schema parent_table parent_column compare fallback'),
  ('privacy.mapped_tables',
  'table_schema table_name label erasure legal_basis retain_for retain_from files files_kept'),
  ('privacy.plans', 'request_id body files'),
  ('privacy.purges', 'id request_id bucket folder status attempts next_attempt_at created_at last_error'),
  ('privacy.retention', 'table_schema table_name age_column keep_for'),
  ('privacy.suppressions', 'request_id kind token'),
  ('privacy.transitions', 'from_status to_status'),
  ('wa.transitions', 'from_status to_status')
),
mapped as (
  insert into privacy.mapped_tables (table_schema, table_name, label, erasure)
  select split_part(name, '.', 1), split_part(name, '.', 2), name, 'none' from tables
)
insert into privacy.data_map (table_schema, table_name, column_name, category, exported, label, erase_action)
select split_part(name, '.', 1), split_part(name, '.', 2), column_name, 'none', false, column_name, 'none'
from tables cross join unnest(string_to_array(column_names, ' ')) as column_name;

-- Rows that are deleted when they are old, whoever they are of.
insert into privacy.retention (table_schema, table_name, age_column, keep_for) values
('ops', 'exceptions', 'updated_at', '2 years'),
('wa', 'messages', 'created_at', '30 days'),
('wa', 'statuses', 'received_at', '30 days');
