-- Escrows: they collect the contributions of a group until the target is met or the deadline passes.
-- Everything that may move one goes through "group".recount. Locks: a payment, then its escrow, then accounts.

create or replace function "group".guard_escrow() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise exception using errcode = 'PT409', constraint = 'escrow_transition', message = 'An escrow begins open';
    end if;
    return new;
  end if;
  if new.status <> old.status and not (
    exists (select from "group".escrow_transitions where from_status = old.status and to_status = new.status)
    and case new.status
      when 'met' then
        new.total_cents >= new.target_cents and new.contributors >= new.min_members and now() < new.deadline
      when 'expired' then now() >= new.deadline
      when 'paid_out' then exists (select from "group".payouts where escrow_id = new.id and status = 'succeeded')
      else not exists (
        select from "group".payouts where escrow_id = new.id
          and status in ('processing', 'needs_reconcile', 'succeeded')
      )
    end
  ) then
    raise exception using
      errcode = 'PT409', constraint = 'escrow_transition',
      message = format('An escrow that is %s cannot become %s now', old.status, new.status);
  end if;
  if (new.id, new.group_id, new.itinerary_id, new.currency, new.target_cents, new.min_members, new.deadline)
    is distinct from (
      old.id, old.group_id, old.itinerary_id, old.currency, old.target_cents, old.min_members, old.deadline
    ) then
    raise exception using
      errcode = 'PT409', constraint = 'escrow_terms_fixed', message = 'An escrow''s terms never change';
  end if;
  return new;
end;
$$;
comment on function "group".guard_escrow() is
'Trigger: an escrow moves only along "group".escrow_transitions, and only when what the new state means is true. None '
'is cancelled while it is being paid out.';

create or replace trigger guard_escrow before insert or update on "group".escrows
for each row execute function "group".guard_escrow();
create or replace trigger refuse_removal before delete or truncate on "group".escrows
for each statement execute function audit.refuse_change();
create or replace trigger refuse_removal before delete or truncate on "group".contributions
for each statement execute function audit.refuse_change();

create or replace function "group".recount(
  p_escrow_id uuid, p_payment_id uuid default null, p_cancel boolean default false
)
returns "group".escrows
language plpgsql volatile
as $$
declare
  v_before "group".escrows;
  v_escrow "group".escrows;
  v_contributed boolean;
begin
  select * into v_before from "group".escrows where id = p_escrow_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'escrow_known', message = 'Escrow not found';
  end if;
  perform "group".recount_contributions(v_before, p_payment_id);
  v_escrow := v_before;
  select
    coalesce(sum(pledged_cents), 0), coalesce(sum(held_cents), 0),
    coalesce(sum(case when live then held_cents else pledged_cents end), 0),
    count(distinct member_id) filter (where pledged_cents > 0), count(*) > 0
  into v_escrow.total_cents, v_escrow.captured_cents, v_escrow.payable_cents, v_escrow.contributors, v_contributed
  from "group".contributions where escrow_id = p_escrow_id;
  if p_cancel then
    v_escrow.status := 'cancelled';
  elsif v_before.status = 'open' and now() >= v_escrow.deadline then
    v_escrow.status := 'expired';
  elsif v_before.status = 'open' and v_escrow.total_cents >= v_escrow.target_cents
    and v_escrow.contributors >= v_escrow.min_members then
    v_escrow.status := 'met';
  end if;
  update "group".escrows
  set status = v_escrow.status, total_cents = v_escrow.total_cents, captured_cents = v_escrow.captured_cents,
    payable_cents = v_escrow.payable_cents, contributors = v_escrow.contributors
  where id = p_escrow_id;
  if v_escrow.status <> v_before.status then
    perform audit.record('escrow.' || v_escrow.status, jsonb_build_object(
      'escrow_id', p_escrow_id, 'total_cents', v_escrow.total_cents, 'captured_cents', v_escrow.captured_cents
    ));
    if v_escrow.status = 'expired' and v_contributed then
      perform "group".record_expired_payout(v_escrow);
    end if;
  end if;
  if v_escrow.status in ('expired', 'cancelled', 'paid_out') then
    perform "group".queue_refunds(p_escrow_id);
  elsif v_escrow.status = 'met' and v_escrow.payable_cents >= v_escrow.target_cents
    and (v_before.status, v_before.payable_cents >= v_before.target_cents) is distinct from ('met', true) then
    perform pg_notify('ecotrips_payouts', '');
  end if;
  return v_escrow;
end;
$$;
comment on function "group".recount(uuid, uuid, boolean) is
'The one place where an escrow changes: under its row''s lock it counts what its payments are worth now (of '
'p_payment_id alone when only that one changed), books the difference between their accounts and the escrow''s, and '
'moves the escrow to the state that follows: met, expired, or, when asked, cancelled. What a closed escrow still '
'holds is queued to be refunded.';

create or replace function "group".recount_contributions(p_escrow "group".escrows, p_payment_id uuid) returns void
language plpgsql volatile
as $$
declare
  v_row record;
begin
  for v_row in
    select c.id, c.payment_id, c.movements, n.*, n.held - c.held_cents as change
    from "group".contributions c
    join payment.payments p on p.id = c.payment_id
    left join payment.refunds r on r.id = c.refund_id
    cross join lateral (
      select
        case
          when p.captured_cents > 0 then p.captured_cents - p.refunded_cents - p.refund_pending_cents
          when p.status in ('failed', 'voided') then 0
          else p.amount_cents
        end as pledged,
        -- Money that a payout includes is not released, so a refund of it finds the payment's account empty.
        greatest(
          p.captured_cents - p.refunded_cents - p.refund_pending_cents, least(c.held_cents, c.paid_cents)
        ) as held,
        case
          when c.refund_status is null or c.refund_status not in ('requested', 'refunded') then c.refund_status
          when r.status = 'pending' then 'requested'
          when r.status = 'succeeded' then 'refunded'
          else 'attention'
        end as refund_status
    ) n
    where c.escrow_id = p_escrow.id and (p_payment_id is null or c.payment_id = p_payment_id)
      and (c.pledged_cents, c.held_cents, c.refund_status) is distinct from (n.pledged, n.held, n.refund_status)
    order by c.id
  loop
    if v_row.change <> 0 then
      perform fin.post(
        p_escrow.id, case when v_row.change > 0 then 'escrow_funded' else 'escrow_released' end, abs(v_row.change),
        p_escrow.currency, format('contribution:%s:%s', v_row.id, v_row.movements + 1),
        fin.transfer('payment:' || v_row.payment_id, 'escrow:' || p_escrow.id, v_row.change), p_escrow.itinerary_id
      );
    end if;
    update "group".contributions
    set pledged_cents = v_row.pledged, held_cents = v_row.held, refund_status = v_row.refund_status,
      movements = movements + (v_row.change <> 0)::int
    where id = v_row.id;
    if p_escrow.status = 'paid_out' then
      perform "group".settle_contributions(p_escrow, 'late:' || v_row.id);
    end if;
  end loop;
end;
$$;
comment on function "group".recount_contributions("group".escrows, uuid) is
'Part of recount: brings contributions to what their payments and refunds say, and books what moved.';

create or replace function "group".follow_payment() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_escrow_id uuid := (select escrow_id from "group".contributions where payment_id = new.id);
begin
  if v_escrow_id is not null then
    perform "group".recount(v_escrow_id, new.id);
  end if;
  return null;
end;
$$;
comment on function "group".follow_payment() is
'Trigger: an escrow follows its payments. What a refund takes is released before the refund is booked; all else waits '
'for the commit, when the payment''s own facts are booked and the escrow''s lock is short. As the owner: so does '
'PostgreSQL before 18.';

create or replace trigger release_from_escrow after update of refunded_cents, refund_pending_cents on payment.payments
for each row when (new.refunded_cents + new.refund_pending_cents > old.refunded_cents + old.refund_pending_cents)
execute function "group".follow_payment();

do $$
begin
  -- A constraint trigger cannot be replaced.
  if not exists (
    select from pg_trigger where tgrelid = 'payment.payments'::regclass and tgname = 'count_in_escrow'
  ) then
    create constraint trigger count_in_escrow after update on payment.payments
    deferrable initially deferred for each row when (
      (new.status, new.captured_cents, new.refunded_cents, new.refund_pending_cents)
        is distinct from (old.status, old.captured_cents, old.refunded_cents, old.refund_pending_cents)
    ) execute function "group".follow_payment();
  end if;
end;
$$;

create or replace function public.create_escrow(
  p_group_id uuid,
  p_target_cents bigint,
  p_deadline timestamptz,
  p_min_members int default 2,
  p_currency text default 'USD',
  p_itinerary_id uuid default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_group "group".groups;
  v_escrow "group".escrows;
begin
  p_group_id := sec.valid_uuid('group_id', p_group_id);
  p_target_cents := sec.valid_amount('target_cents', p_target_cents);
  p_deadline := sec.valid_time('deadline', p_deadline);
  p_min_members := sec.valid_integer('min_members', p_min_members, 1, 10000);
  p_currency := sec.valid_currency('currency', p_currency);
  -- A shared lock, so that the group is not cancelled meanwhile.
  select * into v_group from "group".groups where id = p_group_id for share;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'group_known', message = 'Group not found';
  elsif not sec.is_ops() and not exists (
    select from "group".members where group_id = p_group_id and user_id = auth.uid() and role = 'owner'
  ) then
    perform sec.refuse('owner_only', 'Only owners may create escrows', 'PT403');
  elsif v_group.status = 'cancelled' then
    raise exception using errcode = 'PT409', constraint = 'group_open', message = 'The group is cancelled';
  elsif p_deadline <= now() then
    raise exception using errcode = 'PT400', constraint = 'deadline_ahead', message = 'deadline must be in the future';
  end if;
  perform "group".require_itinerary(p_itinerary_id);
  insert into "group".escrows (group_id, itinerary_id, currency, target_cents, min_members, deadline)
  values (
    p_group_id, coalesce(p_itinerary_id, v_group.itinerary_id), p_currency, p_target_cents, p_min_members, p_deadline
  )
  returning * into v_escrow;
  perform audit.record('escrow.created', jsonb_build_object(
    'escrow_id', v_escrow.id, 'group_id', p_group_id, 'target_cents', p_target_cents, 'currency', v_escrow.currency
  ));
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'escrow_id', v_escrow.id, 'status', v_escrow.status
  );
end;
$$;
comment on function public.create_escrow(uuid, bigint, timestamptz, int, text, uuid) is
'The group''s owner or ops: opens an escrow that collects p_target_cents from at least p_min_members until p_deadline.';

create or replace function public.cancel_escrow(p_escrow_id uuid) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_escrow "group".escrows;
begin
  p_escrow_id := sec.valid_uuid('escrow_id', p_escrow_id);
  -- Locked before its state is checked.
  select * into v_escrow from "group".escrows where id = p_escrow_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'escrow_known', message = 'Escrow not found';
  elsif not sec.is_ops() then
    if not exists (
      select from "group".members where group_id = v_escrow.group_id and user_id = auth.uid() and role = 'owner'
    ) then
      perform sec.refuse('owner_only', 'Only owners may cancel escrows', 'PT403');
    elsif v_escrow.status <> 'open' then
      raise exception using
        errcode = 'PT409', constraint = 'escrow_open', message = format('The escrow is %s; ask ops', v_escrow.status);
    end if;
  end if;
  if v_escrow.status <> 'cancelled' then
    v_escrow := "group".recount(p_escrow_id, p_cancel => true);
  end if;
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'escrow_id', p_escrow_id, 'status', v_escrow.status,
    'total_cents', v_escrow.total_cents, 'captured_cents', v_escrow.captured_cents, 'currency', v_escrow.currency
  );
end;
$$;
comment on function public.cancel_escrow(uuid) is
'The owner, or ops: cancels an escrow while it is open, ops until it is paid out; what was captured goes back. Again '
'changes nothing.';

create or replace function public.expire_escrows(p_limit int default 100) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
  v_escrow "group".escrows;
  v_payout "group".payouts;
  v_expired json[] := '{}'::json[];
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  for v_id in
    select id from "group".escrows where status = 'open' and deadline <= now()
    order by deadline, id limit p_limit for update skip locked
  loop
    v_escrow := "group".recount(v_id);
    select * into v_payout from "group".payouts where escrow_id = v_id;
    v_expired := v_expired || json_strip_nulls(json_build_object(
      'escrow_id', v_id, 'payout_id', v_payout.id, 'status', coalesce(v_payout.status, v_escrow.status),
      'total_cents', v_escrow.total_cents
    ));
  end loop;
  return to_json(v_expired);
end;
$$;
comment on function public.expire_escrows(int) is
'Internal: expires open escrows whose deadline has passed; one with contributions gets its failed payout and its '
'refunds.';
