-- Who sees which rows. Row security is on for every table and forced, so even the owner passes a policy: its own, which
-- security definer functions act under after their checks. Applied before grants.sql, again whenever it changes.
-- Others' rows are left out. A policy that raised would do so for rows that a condition finds by an index, and so tell
-- of them. What is for ops alone is refused besides: a view asks sec.ops_only() before it reads, and /rest/v1 asks it
-- for every table with a policy of that name.

do $$
declare
  v_table record;
begin
  for v_table in
    select c.oid::regclass as name, p.polname as policy
    from pg_class c
    left join pg_policy p on p.polrelid = c.oid
    where c.relkind in ('r', 'p') and c.relowner = 'ecotrips_owner'::regrole
  loop
    if v_table.policy is not null then
      execute format('drop policy if exists %I on %s', v_table.policy, v_table.name);
    end if;
    execute format('drop policy if exists owner_acts on %s', v_table.name);
    execute format('alter table %s enable row level security', v_table.name);
    execute format('alter table %s force row level security', v_table.name);
    execute format('create policy owner_acts on %s to ecotrips_owner using (true) with check (true)', v_table.name);
  end loop;
end;
$$;

create policy own_profile on core.profiles for select using (auth_user_id = (select auth.uid()));
create policy ops_read on core.profiles for select using ((select sec.is_ops()));
create policy service_writes on core.profiles using ((select sec.is_service())) with check ((select sec.is_service()));

create policy ops_only on audit.events for select using ((select sec.is_ops()));
create policy ops_only on ops.flags for select using ((select sec.is_ops()));
create policy ops_only on ops.exceptions for select using ((select sec.is_ops()));
create policy ops_only on ops.sweeps for select using ((select sec.is_ops()));

create policy own_itineraries on booking.itineraries for select using (user_id = (select auth.uid()));
create policy ops_read on booking.itineraries for select using ((select sec.is_ops()));
create policy service_writes on booking.itineraries
  using ((select sec.is_service())) with check ((select sec.is_service()));
create policy own_items on booking.items for select
using (itinerary_id in (select id from booking.itineraries where user_id = (select auth.uid())));
create policy ops_read on booking.items for select using ((select sec.is_ops()));
create policy service_writes on booking.items using ((select sec.is_service())) with check ((select sec.is_service()));

create policy ops_only on payment.payments for select using ((select sec.is_ops()));
create policy ops_only on payment.refunds for select using ((select sec.is_ops()));
create policy ops_only on payment.webhook_events for select using ((select sec.is_ops()));
create policy ops_only on payment.transitions for select using ((select sec.is_ops()));
create policy ops_only on payment.refund_transitions for select using ((select sec.is_ops()));
create policy ops_only on fin.entries for select using ((select sec.is_ops()));
create policy ops_only on fin.postings for select using ((select sec.is_ops()));
create policy ops_only on fin.accounts for select using ((select sec.is_ops()));
create policy ops_only on fin.account_kinds for select using ((select sec.is_ops()));
create policy ops_only on fin.entry_types for select using ((select sec.is_ops()));
create policy ops_only on fin.sequences for select using ((select sec.is_ops()));
create policy ops_only on fin.heads for select using ((select sec.is_ops()));
create policy ops_only on fin.checkpoints for select using ((select sec.is_ops()));
create policy service_read on meta.applied for select using ((select sec.is_service()));
create policy service_read on meta.environment for select using ((select sec.is_service()));
create policy service_read on meta.releases for select using ((select sec.is_service()));

create policy own_permits on permits.requests for select using (user_id = (select auth.uid()));
create policy ops_read on permits.requests for select using ((select sec.is_ops()));
create policy ops_only on permits.quota for select using ((select sec.is_ops()));

create policy ops_only on fin.invoices for select using ((select sec.is_ops()));
create policy ops_only on fin.seller for select using ((select sec.is_ops()));
create policy ops_only on booking.suppliers for select using ((select sec.is_ops()));
create policy service_writes on booking.suppliers
  using ((select sec.is_service())) with check ((select sec.is_service()));
create policy service_read on ops.counters for select using ((select sec.is_service()));

create policy anyone_reads on catalog.search_index for select using (true);
create policy own_requests on privacy.requests for select
using ((select auth.uid()) in (subject_user_id, requester_user_id));
create policy ops_read on privacy.requests for select using ((select sec.is_ops()));
create policy ops_only on privacy.mapped_tables for select using ((select sec.is_ops()));
create policy ops_only on privacy.links for select using ((select sec.is_ops()));
create policy ops_only on privacy.data_map for select using ((select sec.is_ops()));
create policy ops_only on privacy.retention for select using ((select sec.is_ops()));
create policy ops_only on privacy.plans for select using ((select sec.is_ops()));
create policy ops_only on privacy.certificates for select using ((select sec.is_ops()));
create policy ops_only on privacy.purges for select using ((select sec.is_ops()));

create policy ops_only on wa.messages for select using ((select sec.is_ops()));
create policy ops_only on wa.contacts for select using ((select sec.is_ops()));
create policy ops_only on wa.statuses for select using ((select sec.is_ops()));
create policy own_holds on inventory.holds for select using (user_id = (select auth.uid()));
create policy ops_read on inventory.holds for select using ((select sec.is_ops()));
create policy ops_only on inventory.circuit for select using ((select sec.is_ops()));
create policy ops_only on inventory.cache for select using ((select sec.is_ops()));

-- Groups: members see theirs, ops all.
create policy members_read on "group".groups for select using (id in (select "group".my_groups()));
create policy members_read on "group".members for select using (group_id in (select "group".my_groups()));
create policy members_read on "group".escrows for select using (group_id in (select "group".my_groups()));
create policy members_read on "group".contributions for select
using (escrow_id in (select id from "group".escrows where group_id in (select "group".my_groups())));
create policy members_read on "group".payouts for select
using (escrow_id in (select id from "group".escrows where group_id in (select "group".my_groups())));
create policy ops_read on "group".groups for select using ((select sec.is_ops()));
create policy ops_read on "group".members for select using ((select sec.is_ops()));
create policy ops_read on "group".escrows for select using ((select sec.is_ops()));
create policy ops_read on "group".contributions for select using ((select sec.is_ops()));
create policy ops_read on "group".payouts for select using ((select sec.is_ops()));
