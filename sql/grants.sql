-- Who may use what: the only file that grants, but for the schema public (database.sql). Everything is revoked first,
-- so this file is the whole truth. Levels: any key (anon) < user (authenticated) < service (service_role). What only
-- ops may do is granted to authenticated and refused by sec.require_ops() or a row policy, because persona is data.

do $$
declare
  v_object record;
begin
  for v_object in
    select format('%s %s', case prokind when 'p' then 'procedure' else 'function' end, oid::regprocedure) as name
    from pg_proc where proowner = 'ecotrips_owner'::regrole and prokind in ('f', 'p')
  loop
    execute format('revoke all on %s from public, anon, authenticated, service_role, ops_staff', v_object.name);
  end loop;
  for v_object in
    select oid::regclass as name from pg_class where relowner = 'ecotrips_owner'::regrole
      and relkind in ('r', 'p', 'v', 'm')
  loop
    execute format('revoke all on %s from public, anon, authenticated, service_role, ops_staff', v_object.name);
  end loop;
  for v_object in
    select nspname as name from pg_namespace where nspowner = 'ecotrips_owner'::regrole
  loop
    execute format('revoke all on schema %I from public, anon, authenticated, service_role, ops_staff', v_object.name);
  end loop;
end;
$$;

-- service_role inherits nothing: what it may do is listed too.
grant usage on schema auth, sec, ops, catalog to anon, authenticated, service_role;
grant usage on schema core, booking, payment, fin, audit to authenticated, service_role;
grant usage on schema meta to service_role;

-- Any key.
grant execute on function
  sec.from_edge(), auth.claims(), auth.uid(), sec.session_role(), sec.is_service(), sec.is_ops(), sec.actor(),
  sec.request_id(), sec.refuse(text, text, text), sec.require_ops(), sec.ops_only(),
  sec.count_answer(bigint), sec.bounded_rows(jsonb), sec.bounded_cast(anyelement),
  ops.keep_first_answer(uuid, json), ops.list_exceptions(text, int, int),
  public.start_checkout(uuid, bigint, text, text)
to anon, authenticated, service_role;

-- Users see their own rows, ops see all.
grant select on
  core.profiles, audit.events, ops.flags, ops.exceptions, ops.sweeps, ops.v_bookings, ops.v_exceptions, ops.help,
  booking.itineraries, booking.items
to authenticated, service_role;

-- Ops.
grant execute on function
  ops.set_flag(text, text), ops.list_bookings(date, date, text, int, int)
to authenticated, service_role;

-- Service.
grant insert, update, delete on core.profiles, booking.itineraries, booking.items to service_role;
grant select on meta.applied, meta.environment, meta.releases to service_role;
grant execute on function
  meta.is_production(),
  ops.flag(text), ops.claim_idempotency_key(text, text, bytea), ops.settle_idempotency_key(uuid, int, text),
  ops.release_idempotency_key(uuid), ops.add_fixtures(jsonb), ops.take_token(text, text, int), ops.service_levels()
to service_role;

-- Money: ops see all of it and ask for an itinerary's refund; the service moves it.
grant select on
  payment.payments, payment.refunds, payment.webhook_events, payment.transitions, payment.refund_transitions,
  fin.entries, fin.postings, fin.accounts, fin.account_kinds, fin.entry_types, fin.sequences, fin.heads,
  fin.checkpoints,
  fin.ledger, fin.clearing, ops.v_refunds
to authenticated, service_role;
grant execute on function
  public.ensure_payment_record(uuid, bigint, text, text), public.request_itinerary_refund(uuid, bigint, text, text),
  fin.amount(bigint, text), fin.verify_ledger(), fin.seal_ledger(timestamptz), public.seal_ledger()
to authenticated, service_role;
grant execute on function
  public.record_payment_intent(uuid, text, text, text), public.record_intent_failure(uuid, text, boolean),
  public.claim_due_intents(int),
  public.apply_payment_event(
    text, text, jsonb, boolean, timestamptz, text, uuid, text, uuid, bigint, text, text, bigint
  ),
  public.retry_webhook_events(int),
  public.request_refund(uuid, bigint, text, text), public.record_refund(uuid, text, text, text),
  public.claim_due_refunds(int),
  public.append_ledger_entry(uuid, text, bigint, text, text, timestamptz, text), public.live_books(timestamptz, text[])
to service_role;

-- Counters and suppliers.
grant select on booking.suppliers, ops.v_supplier_slas to authenticated, service_role;
grant insert, update, delete on booking.suppliers to service_role;
grant select on ops.counters to service_role;
grant execute on function public.increment_counter(text, bigint) to service_role;

-- Permits: any key asks, users see and give up their own, ops decide.
grant usage on schema permits to authenticated, service_role;
grant select on permits.requests, permits.quota to authenticated, service_role;
grant execute on function public.create_permit_request(text, date, int, text) to anon, authenticated, service_role;
grant execute on function
  public.approve_permit_request(uuid, text), public.reject_permit_request(uuid, text),
  public.cancel_permit_request(uuid, text), public.set_permit_quota(text, int)
to authenticated, service_role;

-- Groups: members and ops see and act, the service pays out and refunds.
grant usage on schema "group" to authenticated, service_role;
grant select on "group".groups, "group".members, "group".escrows, "group".contributions, "group".payouts
to authenticated, service_role;
grant execute on function
  "group".my_groups(), public.create_group(text, int, uuid, uuid), public.join_group(uuid, uuid),
  public.set_group_status(uuid, text), public.create_escrow(uuid, bigint, timestamptz, int, text, uuid),
  public.contribute(uuid, bigint, text, uuid, uuid, text), public.cancel_escrow(uuid),
  public.group_contribution_summary(uuid)
to authenticated, service_role;
grant execute on function
  public.payout_now(uuid), public.decide_payout(uuid, boolean, text), public.group_payouts_counts(date, date),
  "group".payouts_report(date, date), public.retry_exception(uuid, text)
to authenticated, service_role;
grant execute on function
  public.record_contribution_intent(uuid, text, text, text), public.expire_escrows(int),
  public.request_escrow_refunds(int),
  public.claim_payouts(int, uuid), public.finish_payout(uuid, int, text, text, text)
to service_role;

-- Service: the worker.
grant execute on function
  ops.claim_sweep(text, double precision), ops.finish_sweep(text, bigint), ops.fail_sweep(text, text),
  ops.purge_idempotency_keys(int), ops.purge_rate_limits(int), ops.reopen_stalled_exceptions(int)
to service_role;

-- Documents: ops read invoices and say who issues them, the service issues and stores.
grant select on fin.invoices, fin.seller to authenticated, service_role;
grant execute on function fin.set_seller(text, text, text, text, text, text, int) to authenticated, service_role;
grant execute on function
  public.generate_invoice(text, uuid, uuid, text, boolean), public.record_invoice_document(uuid, text),
  fin.claim_invoices_to_render(int), public.record_storage_change(text, text)
to service_role;

-- Places: any key reads and searches, the service fills.
grant select on catalog.search_index to anon, authenticated, service_role;
grant execute on function public.search_places(text, int), public.locate_place(text) to anon, authenticated,
  service_role;
grant execute on function public.populate_search_index(jsonb) to service_role;
-- Privacy: users ask for themselves and see their requests, ops do the rest; the worker deletes files and what is old.
grant usage on schema privacy to authenticated, service_role;
grant select on
  privacy.requests, privacy.queue, privacy.data_map, privacy.mapped_tables, privacy.links, privacy.retention,
  privacy.plans,
  privacy.certificates, privacy.purges, privacy.map_faults
to authenticated, service_role;
grant execute on function
  public.create_privacy_request(text, uuid, text), public.start_privacy_review(uuid),
  public.review_privacy_request(uuid, text, text), public.extend_privacy_request(uuid, int, text),
  public.privacy_get_datamap(), public.privacy_get_request(uuid), public.privacy_log_audit(uuid, text, jsonb),
  public.begin_privacy_export(uuid), public.read_privacy_export(uuid, text, text, bigint, int),
  public.record_privacy_export(uuid, text, text, timestamptz), public.privacy_erasure_folders(uuid),
  public.plan_privacy_erasure(uuid, jsonb), public.execute_privacy_erasure(uuid, text, text, jsonb),
  public.find_erased_subject(uuid, text), public.find_erased_subject_in_text(uuid, text, text)
to authenticated, service_role;
grant execute on function
  public.claim_privacy_purges(int, uuid), public.finish_privacy_purge(uuid, int, text),
  public.sweep_privacy_retention(int),
  public.remind_privacy_deadlines(int), privacy.service_key_id()
to service_role;

-- Messages: ops read them, the service sends and receives them.
grant usage on schema wa to authenticated, service_role;
grant select on wa.messages, wa.contacts, wa.statuses to authenticated, service_role;
grant execute on function
  public.send_message(text, text, text, text, jsonb, text, boolean), wa.claim_messages(int),
  public.record_message_outcome(uuid, int, text, text, int, int), public.receive_message_events(jsonb, jsonb)
to service_role;

-- Inventory: users see their holds, ops see and force the circuit, the service keeps it all.
grant usage on schema inventory to authenticated, service_role;
grant select on inventory.holds, inventory.circuit, inventory.cache to authenticated, service_role;
grant execute on function inventory.read_circuit(text) to authenticated, service_role;
grant execute on function public.force_circuit(text, text) to authenticated, service_role;
grant execute on function
  inventory.read_cache(text, text), inventory.claim_flight(text, text, uuid, int),
  inventory.land_flight(text, text, uuid), inventory.write_cache(text, text, text, text, int, uuid),
  inventory.purge_cache(int), inventory.admit_call(text, int),
  inventory.release_probe(text, int),
  public.find_hold(uuid, text, text, date, date, jsonb, text),
  public.place_hold(uuid, text, text, date, date, jsonb, text, text, bigint, text, jsonb),
  inventory.judge_circuit(text, int, text, int, int, text)
to service_role;

-- What people do as the service. Staff in psql are refused by sec.require_service(), which says by which login to come
-- back; the server's own refusal could not.
grant execute on function
  public.append_ledger_entry(uuid, text, bigint, text, text, timestamptz, text),
  public.apply_payment_event(
    text, text, jsonb, boolean, timestamptz, text, uuid, text, uuid, bigint, text, text, bigint
  ),
  public.generate_invoice(text, uuid, uuid, text, boolean), public.increment_counter(text, bigint),
  public.place_hold(uuid, text, text, date, date, jsonb, text, text, bigint, text, jsonb),
  public.populate_search_index(jsonb), public.receive_message_events(jsonb, jsonb),
  public.record_payment_intent(uuid, text, text, text), public.request_refund(uuid, bigint, text, text),
  public.send_message(text, text, text, text, jsonb, text, boolean)
to ops_staff;
