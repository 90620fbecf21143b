-- Payouts: one for each met escrow. Planned with its escrow locked, claimed with a lease, made by the provider outside
-- any transaction, finished by whoever holds the newest claim (docs/api.md, Groups, escrows and payouts).

create or replace function "group".guard_payout() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if not exists (
      select from "group".escrows where id = new.escrow_id
        and (status, new.status) in (('met', 'processing'), ('expired', 'failed'))
    ) then
      raise exception using
        errcode = 'PT409', constraint = 'payout_transition',
        message = 'A payout begins with a met escrow, or failed with an expired one';
    end if;
    return new;
  end if;
  if new.status <> old.status and not exists (
    select from "group".payout_transitions where from_status = old.status and to_status = new.status
  ) or new.status = 'processing' and not exists (
    select from "group".escrows where id = new.escrow_id and status = 'met'
  ) then
    raise exception using
      errcode = 'PT409', constraint = 'payout_transition',
      message = format('A payout that is %s cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.escrow_id, new.currency) is distinct from (old.id, old.escrow_id, old.currency)
    or (new.total_cents, new.mode) is distinct from (old.total_cents, old.mode) and new.generation <= old.generation
    or new.generation < old.generation or new.claim < old.claim then
    raise exception using
      errcode = 'PT409', constraint = 'payout_terms_fixed',
      message = 'A payout''s terms change with a new generation only';
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function "group".guard_payout() is
'Trigger: a payout moves only along "group".payout_transitions, is under way only while its escrow is met, and keeps '
'what the provider was asked for.';

create or replace trigger guard_payout before insert or update on "group".payouts
for each row execute function "group".guard_payout();
create or replace trigger refuse_removal before delete or truncate on "group".payouts
for each statement execute function audit.refuse_change();

create or replace function "group".record_expired_payout(p_escrow "group".escrows) returns void
language plpgsql volatile
as $$
declare
  v_payout_id uuid;
begin
  insert into "group".payouts (escrow_id, total_cents, currency, mode, status, last_error)
  values (
    p_escrow.id, p_escrow.total_cents, p_escrow.currency, "group".payout_mode(p_escrow.id), 'failed',
    'expired_no_payout'
  )
  returning id into v_payout_id;
  perform fin.post(
    p_escrow.id, 'payout_failed', p_escrow.total_cents, p_escrow.currency, 'payout:' || v_payout_id,
    p_itinerary_id => p_escrow.itinerary_id, p_note => 'expired_no_payout'
  );
end;
$$;
comment on function "group".record_expired_payout("group".escrows) is
'Part of recount: contributions were made, but the deadline came first, so their payout failed for good.';

create or replace function "group".payout_mode(p_escrow_id uuid) returns text
language sql stable
as $$
  select case when exists (
    select from "group".contributions where escrow_id = p_escrow_id and live and held_cents > 0
  ) then 'live' else 'mock' end
$$;
comment on function "group".payout_mode(uuid) is
'live as soon as real money lies in the escrow: a mock must never pay that out.';

create or replace function "group".is_payable(p_escrow "group".escrows) returns boolean
language sql stable
as $$
  select p_escrow.status = 'met' and p_escrow.payable_cents >= p_escrow.target_cents
    and case "group".payout_mode(p_escrow.id)
      when 'mock' then not meta.is_production() else ops.flag('STRIPE_MOCK_MODE') = '0'
    end
    and not exists (
      select from "group".contributions where escrow_id = p_escrow.id and live and payment.is_disputed(payment_id)
    )
$$;
comment on function "group".is_payable("group".escrows) is
'Whether a payout may begin: met, enough captured (with mock payments: pledged), real money not while payments are '
'mocked, nothing disputed.';

create or replace function "group".plan_payout(p_escrow "group".escrows) returns "group".payouts
language plpgsql volatile
as $$
declare
  v_payout "group".payouts;
begin
  select * into v_payout from "group".payouts where escrow_id = p_escrow.id for update;
  if v_payout.status <> 'failed' or not "group".is_payable(p_escrow) then
    return v_payout;
  end if;
  insert into "group".payouts as p (escrow_id, total_cents, currency, mode, status, next_attempt_at)
  values (
    p_escrow.id, p_escrow.payable_cents, p_escrow.currency, "group".payout_mode(p_escrow.id), 'processing', now()
  )
  on conflict (escrow_id) do update
    set status = 'processing', total_cents = excluded.total_cents, mode = excluded.mode, next_attempt_at = now(),
      generation = p.generation + 1, generation_at = now()
  returning * into v_payout;
  update "group".contributions set paid_cents = case when live then held_cents else pledged_cents end
  where escrow_id = p_escrow.id;
  perform audit.record('payout.planned', jsonb_build_object(
    'payout_id', v_payout.id, 'escrow_id', p_escrow.id, 'total_cents', v_payout.total_cents,
    'generation', v_payout.generation
  ));
  return v_payout;
end;
$$;
comment on function "group".plan_payout("group".escrows) is
'Begins the payout of a locked escrow, or a new generation after a refusal, if it is payable. Returns the payout as '
'it then is, null without one.';

create or replace function "group".backoff(p_attempts int) returns interval
language sql volatile
as $$
  select least(interval '1 hour', interval '30 seconds' * power(2, least(p_attempts, 10))) * (0.75 + random() / 2)
$$;
comment on function "group".backoff(int) is
'How long after its n-th try a payout is tried again: about a minute, doubled up to an hour.';

create or replace function public.claim_payouts(p_limit int default 20, p_escrow_id uuid default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  c_lease constant interval := interval '2 minutes';
  -- The provider forgets a key after 24 hours, and then the same key might pay again. When ops ask for it, the payout
  -- is searched at the provider first.
  c_key_lives constant interval := interval '23 hours';
  v_paused boolean := p_escrow_id is null and ops.flag('PAYOUTS_PAUSED') = '1';
  v_escrow "group".escrows;
  v_payout "group".payouts;
  v_claims json[] := '{}'::json[];
  v_found boolean := true;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- Search again when others have claimed all results, because an empty answer means that nothing is left.
  while v_found and cardinality(v_claims) = 0 loop
    v_found := false;
    for v_escrow in
      select e.* from "group".escrows e left join "group".payouts p on p.escrow_id = e.id
      where e.status = 'met' and (e.id = p_escrow_id or p_escrow_id is null and (p.requested or not v_paused))
        and case
          when p.id is null then e.payable_cents >= e.target_cents and "group".is_payable(e)
          else p.next_attempt_at <= now() and coalesce(p.locked_until <= now(), true)
            and (p.status = 'processing' or "group".is_payable(e))
        end
      order by e.created_at, e.id limit p_limit for update of e skip locked
    loop
      v_found := true;
      -- Read again after the lock, as another worker may have changed the row.
      v_payout := "group".plan_payout(v_escrow);
      if v_payout.status is distinct from 'processing' or coalesce(v_payout.next_attempt_at > now(), true)
        or v_payout.locked_until > now() then
        continue;
      elsif v_payout.claim > 0 and v_payout.generation_at < now() - c_key_lives and v_payout.mode = 'live'
        and not v_payout.requested then
        update "group".payouts set status = 'needs_reconcile', next_attempt_at = null, locked_until = null
          where id = v_payout.id;
        perform ops.open_exception(
          'payout', v_payout.id::text,
          'a day later nobody knows whether the provider paid: try again, or decide_payout', 'STRIPE'
        );
        continue;
      end if;
      update "group".payouts set attempts = attempts + 1, claim = claim + 1, locked_until = now() + c_lease
      where id = v_payout.id
      returning * into v_payout;
      v_claims := v_claims || json_build_object(
        'payout_id', v_payout.id, 'escrow_id', v_escrow.id, 'total_cents', v_payout.total_cents,
        'currency', v_payout.currency, 'mode', v_payout.mode, 'claim', v_payout.claim,
        'provider_key', "group".payout_key(v_payout), 'asked_at', v_payout.generation_at
      );
    end loop;
  end loop;
  return to_json(v_claims);
end;
$$;
comment on function public.claim_payouts(int, uuid) is
'Internal: leases payouts that are due to the caller for two minutes, planning those that met escrows still lack; of '
'one escrow when named. Skips what another worker holds, and all but requested ones while PAYOUTS_PAUSED is on.';

create or replace function "group".payout_key(p_payout "group".payouts) returns text
language sql immutable
as $$ select format('payout:%s:%s', p_payout.escrow_id, p_payout.generation) $$;
comment on function "group".payout_key("group".payouts) is
'The provider''s idempotency key of this generation of a payout.';

create or replace function "group".payout_answer(p_escrow_id uuid) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'escrow_id', e.id,
    'payout_id', p.id,
    'payout_status', case p.status when 'needs_reconcile' then 'processing' else coalesce(p.status, 'skipped') end,
    'total_cents', coalesce(p.total_cents, e.payable_cents),
    'currency', e.currency
  ))
  from "group".escrows e left join "group".payouts p on p.escrow_id = e.id
  where e.id = p_escrow_id
$$;
comment on function "group".payout_answer(uuid) is
'The body of groups-ops-payout-now: skipped while there is nothing to pay out; what needs_reconcile counts as '
'processing.';

create or replace function "group".conclude_payout(
  p_payout "group".payouts, p_outcome text, p_provider_ref text, p_error text
) returns void
language plpgsql volatile
as $$
declare
  c_tries constant int := 5;
  v_escrow "group".escrows;
begin
  if p_outcome = 'unknown' then
    update "group".payouts
    set last_error = p_error, locked_until = null, next_attempt_at = now() + "group".backoff(attempts)
    where id = p_payout.id;
  elsif p_outcome = 'failed' then
    update "group".payouts
    set status = 'failed', last_error = p_error, locked_until = null, requested = false,
      next_attempt_at = case when attempts < c_tries then now() + "group".backoff(attempts) end
    where id = p_payout.id;
    select * into v_escrow from "group".escrows where id = p_payout.escrow_id;
    update "group".contributions set paid_cents = 0 where escrow_id = p_payout.escrow_id;
    perform fin.post(
      p_payout.escrow_id, 'payout_failed', p_payout.total_cents, p_payout.currency, "group".payout_key(p_payout),
      p_itinerary_id => v_escrow.itinerary_id, p_note => p_error
    );
  else
    update "group".payouts
    set status = 'succeeded', provider_ref = p_provider_ref, last_error = null, locked_until = null,
      next_attempt_at = null
    where id = p_payout.id;
    update "group".escrows set status = 'paid_out', paid_out_at = now() where id = p_payout.escrow_id
      returning * into v_escrow;
    perform "group".settle_contributions(v_escrow, "group".payout_key(p_payout));
    perform "group".queue_refunds(p_payout.escrow_id);
    perform ops.resolve_exception('payout', p_payout.id::text);
  end if;
  if p_error is not null then
    perform ops.open_exception('payout', p_payout.id::text, p_error, 'STRIPE');
  end if;
  perform audit.record('payout.' || p_outcome, jsonb_build_object(
    'payout_id', p_payout.id, 'escrow_id', p_payout.escrow_id, 'total_cents', p_payout.total_cents,
    'provider_ref', p_provider_ref, 'error', p_error
  ));
end;
$$;
comment on function "group".conclude_payout("group".payouts, text, text, text) is
'What the provider said of a payout whose escrow is locked: succeeded, failed (a new generation is tried later, five '
'times in all), or unknown (asked for again under the same key).';

create or replace function "group".settle_contributions(p_escrow "group".escrows, p_provider_ref text) returns void
language plpgsql volatile
as $$
declare
  v_cents bigint;
begin
  with settled as (
    update "group".contributions c
    set settled_cents = least(c.held_cents, c.paid_cents)
    from (select id, settled_cents from "group".contributions where escrow_id = p_escrow.id) before
    where c.id = before.id and c.settled_cents < least(c.held_cents, c.paid_cents)
    returning c.settled_cents - before.settled_cents as cents
  )
  select coalesce(sum(cents), 0) into v_cents from settled;
  if v_cents > 0 then
    perform fin.post(
      p_escrow.id, 'payout_succeeded', v_cents, p_escrow.currency, p_provider_ref,
      fin.transfer('escrow:' || p_escrow.id, 'provider_clearing:' || p_escrow.currency, v_cents), p_escrow.itinerary_id
    );
  end if;
end;
$$;
comment on function "group".settle_contributions("group".escrows, text) is
'Books out of a paid-out escrow what its payout included and what has been captured of it: with mock payments a part '
'may be captured, and so booked, later.';

create or replace function public.finish_payout(
  p_payout_id uuid, p_claim int, p_outcome text, p_provider_ref text default null, p_error text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_payout "group".payouts;
begin
  perform from "group".escrows e
  where e.id = (select escrow_id from "group".payouts where id = p_payout_id) for update;
  select * into v_payout from "group".payouts where id = p_payout_id for update;
  if v_payout.status = 'processing' and v_payout.claim = p_claim then
    perform "group".conclude_payout(v_payout, p_outcome, p_provider_ref, p_error);
  end if;
  return "group".payout_answer(v_payout.escrow_id);
end;
$$;
comment on function public.finish_payout(uuid, int, text, text, text) is
'Internal: records what the provider said (succeeded, failed, unknown) to the holder of a claim; an older claim '
'changes nothing. p_error is a code.';
