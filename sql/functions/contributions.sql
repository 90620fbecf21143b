-- Contributions to escrows: each with its own payment; and the refunds of what a closed escrow still holds.

create or replace function "group".contribution_key(p_escrow_id uuid, p_member_id uuid, p_idempotency_key text)
returns text
language sql volatile
as $$
  select 'contribution:' || left(
    encode(sha256(convert_to(
      concat_ws(':', p_escrow_id, p_member_id, coalesce(p_idempotency_key, 'once:' || gen_random_uuid()::text)), 'UTF8'
    )), 'hex'), 48
  )
$$;
comment on function "group".contribution_key(uuid, uuid, text) is
'The payment key of a contribution: the same for the same member''s same Idempotency-Key, without one always another.';

create or replace function "group".contribution_answer(
  p_contribution_id uuid, p_escrow "group".escrows, p_client_secret text default null, p_payment json default null
) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'contribution_id', c.id,
    'payment_id', p.id,
    'payment_intent', p.intent_id,
    'client_secret', p_client_secret,
    'amount_cents', c.amount_cents,
    'currency', c.currency,
    'mode', p.mode,
    'escrow_status', p_escrow.status,
    'total_cents', p_escrow.total_cents,
    'captured_cents', p_escrow.captured_cents,
    'contributors', p_escrow.contributors,
    'payment', p_payment
  ))
  from "group".contributions c join payment.payments p on p.id = c.payment_id
  where c.id = p_contribution_id
$$;
comment on function "group".contribution_answer(uuid, "group".escrows, text, json) is
'The body of groups-contribute; p_payment, for our own eyes, is the payment whose intent is to be asked of the '
'provider.';

create or replace function public.contribute(
  p_escrow_id uuid,
  p_amount_cents bigint,
  p_currency text default null,
  p_user_id uuid default null,
  p_member_id uuid default null,
  p_idempotency_key text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_escrow "group".escrows;
  v_member "group".members;
  v_key text;
  v_payment payment.payments;
  v_contribution_id uuid;
begin
  p_escrow_id := sec.valid_uuid('escrow_id', p_escrow_id);
  p_amount_cents := sec.valid_amount('amount_cents', p_amount_cents);
  p_currency := sec.valid_currency('currency', p_currency, p_optional => true);
  p_idempotency_key := sec.valid_text('idempotency_key', p_idempotency_key, 1, 255, p_optional => true);
  select * into v_escrow from "group".escrows where id = p_escrow_id;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'escrow_known', message = 'Escrow not found';
  end if;
  v_member := "group".acting_member(v_escrow.group_id, p_user_id, p_member_id);
  if p_currency <> v_escrow.currency then
    raise exception using errcode = 'PT400', constraint = 'escrow_currency', message = 'currency must match escrow';
  end if;
  v_key := "group".contribution_key(p_escrow_id, v_member.id, p_idempotency_key);
  select * into v_escrow from "group".escrows where id = p_escrow_id for update;
  select c.id into v_contribution_id
  from "group".contributions c join payment.payments p on p.id = c.payment_id
  where p.idempotency_key = v_key;
  if not found then
    if v_escrow.status not in ('open', 'met') or now() >= v_escrow.deadline then
      raise exception using
        errcode = 'PT409', constraint = 'escrow_open',
        message = case
          when v_escrow.status in ('open', 'met') then 'The escrow''s deadline has passed'
          else format('The escrow is %s', replace(v_escrow.status, '_', ' '))
        end;
    elsif exists (
      select from "group".payouts where escrow_id = p_escrow_id and status in ('processing', 'needs_reconcile')
    ) then
      raise exception using errcode = 'PT409', constraint = 'escrow_open', message = 'The escrow is being paid out';
    end if;
  end if;
  -- Called for an existing contribution, too, because the same key with other terms raises payment_key_reused.
  v_payment := payment.ensure_payment_record(v_escrow.itinerary_id, p_amount_cents, v_escrow.currency, v_key, true);
  if v_contribution_id is null then
    insert into "group".contributions (escrow_id, member_id, amount_cents, currency, payment_id, live)
    values (p_escrow_id, v_member.id, p_amount_cents, v_escrow.currency, v_payment.id, v_payment.mode = 'live')
    returning id into v_contribution_id;
    perform audit.record('escrow.contribution', jsonb_build_object(
      'escrow_id', p_escrow_id, 'contribution_id', v_contribution_id, 'payment_id', v_payment.id,
      'amount_cents', p_amount_cents
    ));
    v_escrow := "group".recount(p_escrow_id, v_payment.id);
  end if;
  return "group".contribution_answer(
    v_contribution_id, v_escrow,
    p_payment => case when v_payment.captured_cents = 0 and v_payment.status <> 'voided'
      then payment.checkout_answer(v_payment) end
  );
end;
$$;
comment on function public.contribute(uuid, bigint, text, uuid, uuid, text) is
'A member, or ops for one: promises an amount to an escrow and begins its payment. Two equal contributions are two, '
'unless they carry the same p_idempotency_key.';

create or replace function public.record_contribution_intent(
  p_contribution_id uuid, p_intent_id text, p_client_secret text default null, p_provider_status text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_contribution "group".contributions;
  v_escrow "group".escrows;
begin
  select * into v_contribution from "group".contributions where id = p_contribution_id;
  perform public.record_payment_intent(v_contribution.payment_id, p_intent_id, p_client_secret, p_provider_status);
  select * into v_escrow from "group".escrows where id = v_contribution.escrow_id;
  return "group".contribution_answer(p_contribution_id, v_escrow, p_client_secret);
end;
$$;
comment on function public.record_contribution_intent(uuid, text, text, text) is
'Internal: stores the intent of a contribution''s payment, as record_payment_intent does, and answers for '
'groups-contribute.';

create or replace function public.group_contribution_summary(p_escrow_id uuid)
returns table (
  escrow_id uuid, group_id uuid, status text, currency text, target_cents bigint, total_cents bigint,
  captured_cents bigint,
  contributors int, min_members int, deadline timestamptz, target text, total text, captured text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select e.id, e.group_id, e.status, e.currency, e.target_cents, e.total_cents, e.captured_cents, e.contributors,
    e.min_members, e.deadline, fin.amount(e.target_cents, e.currency), fin.amount(e.total_cents, e.currency),
    fin.amount(e.captured_cents, e.currency)
  from "group".escrows e
  where e.id = p_escrow_id and (sec.is_ops() or e.group_id in (select "group".my_groups()));
end;
$$;
comment on function public.group_contribution_summary(uuid) is
'Members of the group and ops: how far an escrow is; no row for anyone else.';

create or replace function "group".queue_refunds(p_escrow_id uuid) returns void
language plpgsql volatile
as $$
begin
  update "group".contributions
  set refund_status = 'due', refund_next_at = now()
  where escrow_id = p_escrow_id and refund_status is null and held_cents > paid_cents;
  if found then
    perform pg_notify('ecotrips_escrow_refunds', '');
  end if;
end;
$$;
comment on function "group".queue_refunds(uuid) is
'Part of recount: marks what a closed escrow holds beyond its payout to be refunded, once for each contribution.';

create or replace function public.request_escrow_refunds(p_limit int default 50) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payments uuid[];
  v_due "group".contributions;
  v_requested int := 0;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  if ops.flag('ESCROW_REFUNDS_PAUSED') = '1' then
    return 0;
  end if;
  -- Payments are locked before escrows, each in one order, as booking a payment does.
  select array_agg(id) into v_payments
  from (
    select id from payment.payments
    where id in (
      select payment_id from "group".contributions
      where refund_status = 'due' and refund_next_at <= now() order by refund_next_at limit p_limit
    )
    order by id for update skip locked
  ) locked;
  for v_due in
    select * from "group".contributions where payment_id = any(v_payments) and refund_status = 'due'
      order by escrow_id, id
  loop
    perform from "group".escrows where id = v_due.escrow_id for update;
    select * into v_due from "group".contributions where id = v_due.id and refund_status = 'due';
    if found then
      perform "group".request_refund(v_due);
      v_requested := v_requested + 1;
    end if;
  end loop;
  return v_requested;
end;
$$;
comment on function public.request_escrow_refunds(int) is
'Internal: turns what closed escrows must give back into refunds and says how many; nothing while '
'ESCROW_REFUNDS_PAUSED is on.';

create or replace function "group".request_refund(p_due "group".contributions) returns void
language plpgsql volatile
as $$
declare
  v_left bigint := p_due.held_cents - p_due.paid_cents;
  v_refund_id uuid;
begin
  if v_left > 0 then
    v_refund_id := (payment.request_refund(
      p_due.payment_id, v_left, 'escrow closed', 'escrow', format('refund:escrow:%s:%s', p_due.escrow_id, p_due.id)
    )).id;
  else
    -- It was refunded by hand meanwhile.
    select id into v_refund_id from payment.refunds where payment_id = p_due.payment_id order by requested_at desc
      limit 1;
  end if;
  update "group".contributions
  set refund_status = 'requested', refund_id = v_refund_id, refund_next_at = null
  where id = p_due.id;
  perform "group".recount(p_due.escrow_id, p_due.payment_id);
  perform ops.resolve_exception('refund', cause) from unnest(array[p_due.id, p_due.refund_id]::text[]) cause;
exception
  when sqlstate 'PT409' or sqlstate 'PT400' then
    update "group".contributions set refund_status = 'attention', refund_next_at = null where id = p_due.id;
    perform ops.open_exception('refund', p_due.id::text, sqlerrm);
end;
$$;
comment on function "group".request_refund("group".contributions) is
'Asks for the refund of one contribution whose payment and escrow are locked; what forbids it is for ops to decide.';

create or replace function "group".retry_refund(p_cause text) returns boolean
language plpgsql volatile
as $$
declare
  v_escrow_id uuid;
begin
  update "group".contributions set refund_status = 'due', refund_next_at = now()
  where refund_status = 'attention' and p_cause in (id::text, refund_id::text)
  returning escrow_id into v_escrow_id;
  if v_escrow_id is null then
    return false;
  end if;
  perform pg_notify('ecotrips_escrow_refunds', '');
  return true;
end;
$$;
comment on function "group".retry_refund(text) is
'Queues the refund of a contribution again, named by the contribution''s or the failed refund''s id; false when there '
'is none.';
