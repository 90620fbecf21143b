-- Park permits: a traveller asks, ops approve or reject, either may give up (docs/api.md, Permits).

create or replace function permits.guard_transition() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (select from permits.transitions where from_status = old.status and to_status = new.status) then
    raise exception using
      errcode = 'PT409', constraint = 'permit_transition',
      message = format('A request that is %s cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.park, new.visit_date, new.pax_count)
    is distinct from (old.id, old.park, old.visit_date, old.pax_count) then
    raise exception using
      errcode = 'PT409', constraint = 'permit_terms_fixed', message = 'What a request asks for never changes';
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function permits.guard_transition() is 'Trigger: only legal moves, and what was asked for never changes.';

create or replace trigger guard_transition before update on permits.requests
for each row execute function permits.guard_transition();

create or replace function permits.one_line(p_text text) returns text
language sql immutable
as $$ select nullif(btrim(regexp_replace(p_text, '[[:space:]]+', ' ', 'g')), '') $$;
comment on function permits.one_line(text) is
'Text without line breaks, so that nobody''s note can look like a decision''s line.';

create or replace function permits.answer(p_request permits.requests) returns json
language sql stable
as $$ select json_build_object('ok', true, 'request_id', p_request.id, 'status', p_request.status) $$;
comment on function permits.answer(permits.requests) is
'The body of every permits endpoint; its request_id is the row''s id.';

create or replace function permits.require_places(p_park text, p_visit_date date, p_pax_count int) returns void
language plpgsql volatile
as $$
declare
  v_quota int;
begin
  -- The quota's row is locked until the approval is committed, so two approvals cannot share the last places.
  select pax_per_day into v_quota from permits.quota where park = p_park for update;
  -- Most parks have no quota, and need no count.
  if found and v_quota < p_pax_count + (
    select coalesce(sum(pax_count), 0) from permits.requests
    where park = p_park and visit_date = p_visit_date and status = 'approved'
  ) then
    raise exception using
      errcode = 'PT409', constraint = 'permit_quota',
      message = format('%s has no places left for %s visitors on %s', p_park, p_pax_count, p_visit_date);
  end if;
end;
$$;
comment on function permits.require_places(text, date, int) is
'Raises permit_quota when a park''s daily quota, if it has one, is too small for these visitors beside those approved.';

create or replace function permits.settle(p_request_id uuid, p_status text, p_note text) returns json
language plpgsql volatile
as $$
declare
  v_request permits.requests;
begin
  select * into v_request from permits.requests where id = p_request_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'permit_known', message = 'Request not found';
  elsif v_request.status <> 'pending' then
    raise exception using
      errcode = 'PT409', constraint = 'permit_pending', message = format('Only pending requests can be %s', p_status);
  elsif p_status = 'approved' then
    perform permits.require_places(v_request.park, v_request.visit_date, v_request.pax_count);
  end if;
  update permits.requests
  set status = p_status,
    note = concat_ws(E'\n', note, format(
      '%s - %s: %s%s', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), sec.actor(), p_status,
      ' (' || permits.one_line(p_note) || ')'
    ))
  where id = p_request_id
  returning * into v_request;
  perform audit.record('permits.' || p_status, jsonb_build_object('permit_request_id', p_request_id));
  return permits.answer(v_request);
end;
$$;
comment on function permits.settle(uuid, text, text) is
'Moves a pending request to its end and adds the line <ISO time> - <who>: <status> (<note>) to its note.';

create or replace function public.create_permit_request(
  p_park text, p_visit_date date, p_pax_count int, p_note text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request permits.requests;
begin
  p_park := sec.valid_choice('park', p_park, array['Volcanoes', 'Nyungwe', 'Akagera']);
  p_visit_date := sec.valid_date('visit_date', p_visit_date);
  p_pax_count := sec.valid_integer(
    'pax_count', p_pax_count, 1, 10000, p_message => 'pax_count must be a positive integer'
  );
  p_note := sec.valid_text('note', p_note, 0, 500, p_optional => true);
  -- The parks' time zone: all three are in Rwanda.
  if p_visit_date < (now() at time zone 'Africa/Kigali')::date then
    raise exception using
      errcode = 'PT400', constraint = 'permit_date_ahead', message = 'visit_date must be today or later';
  end if;
  perform permits.require_places(p_park, p_visit_date, p_pax_count);
  insert into permits.requests (user_id, park, visit_date, pax_count, note)
  values (auth.uid(), p_park, p_visit_date, p_pax_count, permits.one_line(p_note))
  returning * into v_request;
  perform audit.record('permits.requested', jsonb_build_object(
    'permit_request_id', v_request.id, 'park', p_park, 'visit_date', p_visit_date, 'pax_count', p_pax_count
  ));
  return permits.answer(v_request);
end;
$$;
comment on function public.create_permit_request(text, date, int, text) is
'Any caller: asks for permits; the signed-in user''s id goes with it.';

create or replace function public.approve_permit_request(p_request_id uuid, p_note text default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_note := sec.valid_text('note', p_note, 0, 500, p_optional => true);
  return permits.settle(p_request_id, 'approved', p_note);
end;
$$;
comment on function public.approve_permit_request(uuid, text) is
'Ops: approves a pending request within the park''s quota.';

create or replace function public.reject_permit_request(p_request_id uuid, p_note text default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_note := sec.valid_text('note', p_note, 0, 500, p_optional => true);
  return permits.settle(p_request_id, 'rejected', p_note);
end;
$$;
comment on function public.reject_permit_request(uuid, text) is 'Ops: rejects a pending request; the note says why.';

create or replace function public.cancel_permit_request(p_request_id uuid, p_note text default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_note := sec.valid_text('note', p_note, 0, 500, p_optional => true);
  if not sec.is_ops() and not exists (
    select from permits.requests where id = p_request_id and user_id = auth.uid()
  ) then
    raise exception using errcode = 'PT404', constraint = 'permit_known', message = 'Request not found';
  end if;
  return permits.settle(p_request_id, 'cancelled', p_note);
end;
$$;
comment on function public.cancel_permit_request(uuid, text) is
'The traveller who asked, or ops: gives up a pending request.';

create or replace function public.set_permit_quota(p_park text, p_pax_per_day int) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_park := sec.valid_choice('park', p_park, array['Volcanoes', 'Nyungwe', 'Akagera']);
  p_pax_per_day := sec.valid_integer('pax_per_day', p_pax_per_day, 0, 1000000, p_optional => true);
  if p_pax_per_day is null then
    delete from permits.quota where park = p_park;
  else
    insert into permits.quota (park, pax_per_day) values (p_park, p_pax_per_day)
    on conflict (park) do update set pax_per_day = excluded.pax_per_day;
  end if;
  perform audit.record('permits.quota_set', jsonb_build_object('park', p_park, 'pax_per_day', p_pax_per_day));
  return json_strip_nulls(json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'park', p_park, 'pax_per_day', p_pax_per_day
  ));
end;
$$;
comment on function public.set_permit_quota(text, int) is
'Ops: how many visitors a park takes a day; null takes the limit away.';
