-- What ops do with payouts: ask for one now, decide one that nobody knows about, try again, count.

create or replace function public.payout_now(p_escrow_id uuid) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_escrow "group".escrows;
  v_payout "group".payouts;
begin
  perform sec.require_ops();
  p_escrow_id := sec.valid_uuid('escrow_id', p_escrow_id);
  v_escrow := "group".recount(p_escrow_id);
  v_payout := "group".plan_payout(v_escrow);
  if v_payout.status = 'processing' then
    update "group".payouts set requested = true, next_attempt_at = now() where id = v_payout.id;
    perform audit.record('payout.requested', jsonb_build_object('payout_id', v_payout.id, 'escrow_id', p_escrow_id));
    perform pg_notify('ecotrips_payouts', '');
  end if;
  return "group".payout_answer(p_escrow_id);
end;
$$;
comment on function public.payout_now(uuid) is
'Ops: asks for the payout of a met escrow now, also while PAYOUTS_PAUSED is on; a worker makes it. Again: the same '
'payout.';

create or replace function public.decide_payout(p_payout_id uuid, p_paid boolean, p_provider_ref text default null)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payout "group".payouts;
begin
  perform sec.require_ops();
  p_payout_id := sec.valid_uuid('payout_id', p_payout_id);
  p_paid := sec.valid_flag('paid', p_paid);
  p_provider_ref := sec.valid_pattern(
    p_provider_ref, '^[!-~]{1,255}$', 'provider_ref must be between 1 and 255 visible ASCII characters', true
  );
  perform from "group".escrows e
  where e.id = (select escrow_id from "group".payouts where id = p_payout_id) for update;
  select * into v_payout from "group".payouts where id = p_payout_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'payout_known', message = 'Payout not found';
  elsif v_payout.status <> 'needs_reconcile' then
    raise exception using
      errcode = 'PT409', constraint = 'payout_undecided',
      message = format('The payout is %s, not to be decided', v_payout.status);
  end if;
  perform "group".conclude_payout(
    v_payout, case when p_paid then 'succeeded' else 'failed' end, p_provider_ref,
    case when not p_paid then 'decided_not_paid' end
  );
  return "group".payout_answer(v_payout.escrow_id);
end;
$$;
comment on function public.decide_payout(uuid, boolean, text) is
'Ops: says whether the provider made a payout that needs_reconcile; if not, a new one is tried.';

create or replace function "group".retry_payout(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update "group".payouts
  set status = case status when 'needs_reconcile' then 'processing' else status end, next_attempt_at = now(),
    requested = true
  where id::text = p_cause and status <> 'succeeded' and last_error is distinct from 'expired_no_payout';
  if not found then
    return false;
  end if;
  perform pg_notify('ecotrips_payouts', '');
  return true;
end;
$$;
comment on function "group".retry_payout(text) is
'Queues an unfinished payout again, named by its id; false when there is none. One that needs_reconcile is looked for '
'at the provider, and made if it is not there.';

create or replace function public.group_payouts_counts(p_from date, p_to date)
returns table (status text, currency text, count bigint, total_cents bigint, total text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_from := sec.valid_date('from', p_from, p_message => 'Invalid from date');
  p_to := sec.valid_date('to', p_to, p_message => 'Invalid to date');
  if p_from > p_to then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'from must not be after to';
  end if;
  return query
  select p.status, p.currency, count(*), sum(p.total_cents)::bigint,
    fin.amount(sum(p.total_cents)::bigint, p.currency)
  from "group".payouts p
  where p.created_at >= p_from::timestamp at time zone 'UTC' and p.created_at < (p_to + 1)::timestamp at time zone 'UTC'
  group by p.status, p.currency
  order by p.status, p.currency;
end;
$$;
comment on function public.group_payouts_counts(date, date) is
'Ops: payouts made from the first to the last day, both included (UTC), by status and currency.';

create or replace function "group".payouts_report(p_start_from date, p_start_to date) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_start_from := sec.valid_date('from', p_start_from, p_message => 'Invalid from date');
  p_start_to := sec.valid_date('to', p_start_to, p_message => 'Invalid to date');
  return json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'range', json_build_object('from', p_start_from, 'to', p_start_to),
    'counts', (
      select coalesce(json_agg(c), '[]') from (
        select status, currency, count, total_cents from public.group_payouts_counts(p_start_from, p_start_to)
      ) c
    ),
    'recent', (
      select coalesce(json_agg(r), '[]') from (
        select id, escrow_id, total_cents, currency, status, attempts, last_error, created_at
        from "group".payouts
        where created_at >= p_start_from::timestamp at time zone 'UTC'
          and created_at < (p_start_to + 1)::timestamp at time zone 'UTC'
        order by created_at desc, id desc limit 10
      ) r
    )
  ));
end;
$$;
comment on function "group".payouts_report(date, date) is 'Ops: the body of groups-payouts-report.';
