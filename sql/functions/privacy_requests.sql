-- Privacy requests from receipt to decision. What is then done: privacy_export.sql, privacy_erasure.sql.

create or replace function privacy.guard_transition() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (select from privacy.transitions where from_status = old.status and to_status = new.status) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_transition',
      message = format('A request that is %s cannot become %s', old.status, new.status);
  end if;
  if (new.id, new.kind, new.subject_user_id, new.created_at)
    is distinct from (old.id, old.kind, old.subject_user_id, old.created_at) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_terms_fixed', message = 'What a request asks for never changes';
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function privacy.guard_transition() is 'Trigger: only legal moves, and what was asked for never changes.';

create or replace trigger guard_transition before update on privacy.requests
for each row execute function privacy.guard_transition();
create or replace function privacy.end_reminder() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.due_at <> old.due_at or new.status in ('completed', 'rejected') then
    new.reminded_at := null;
    perform ops.resolve_exception('deadline', new.id::text);
  end if;
  return new;
end;
$$;
comment on function privacy.end_reminder() is
'Trigger: a request that ended, or got more time, is no longer shown as due.';

create or replace trigger end_reminder before update of status, due_at on privacy.requests
for each row execute function privacy.end_reminder();
create or replace trigger refuse_change before update or delete or truncate on privacy.certificates
for each statement execute function audit.refuse_change();

create or replace function privacy.locked_request(p_request_id uuid, p_kind text default null) returns privacy.requests
language plpgsql volatile
as $$
declare
  v_request privacy.requests;
begin
  select * into v_request from privacy.requests where id = p_request_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'privacy_request_known', message = 'Request not found';
  elsif v_request.kind <> coalesce(p_kind, v_request.kind) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_kind', message = format('This is a request for %s', v_request.kind);
  end if;
  return v_request;
end;
$$;
comment on function privacy.locked_request(uuid, text) is
'The request, locked. Raises privacy_request_known, and privacy_kind when it asks for something else.';

create or replace function privacy.require_status(p_request privacy.requests, variadic p_statuses text[]) returns void
language plpgsql immutable
as $$
begin
  if p_request.status <> all (p_statuses) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_status',
      message = format('The request is %s; it must be %s', p_request.status, array_to_string(p_statuses, ' or '));
  end if;
end;
$$;
comment on function privacy.require_status(privacy.requests, text[]) is
'Raises privacy_status unless the request is in one of these states.';

create or replace function public.create_privacy_request(
  p_kind text, p_subject_user_id uuid, p_reason text default null
)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request privacy.requests;
begin
  p_kind := sec.valid_choice('kind', p_kind, array['export', 'erasure']);
  p_subject_user_id := sec.valid_uuid('subject_user_id', p_subject_user_id);
  p_reason := sec.valid_text('reason', p_reason, 0, 500, p_optional => true);
  if p_subject_user_id is distinct from auth.uid() and (auth.uid() is not null or not sec.is_ops()) then
    perform sec.refuse('privacy_own_subject', 'A user may ask for themself only');
  end if;
  insert into privacy.requests (kind, requester_user_id, subject_user_id, reason)
  values (p_kind, auth.uid(), p_subject_user_id, p_reason)
  on conflict (subject_user_id, kind) where status not in ('completed', 'rejected') do nothing
  returning * into v_request;
  if found then
    perform audit.record('privacy.received', jsonb_build_object('privacy_request_id', v_request.id, 'kind', p_kind));
  else
    select * into v_request from privacy.requests
    where subject_user_id = p_subject_user_id and kind = p_kind and status not in ('completed', 'rejected');
  end if;
  return json_build_object(
    'ok', true, 'request_id', v_request.id, 'due_at', v_request.due_at, 'status', v_request.status
  );
end;
$$;
comment on function public.create_privacy_request(text, uuid, text) is
'A user for themself, the service for anyone: asks for an export or an erasure; while one is open, asking again gives '
'that one.';

create or replace function public.start_privacy_review(p_request_id uuid) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  perform privacy.require_status(privacy.locked_request(p_request_id), 'received');
  return privacy.decide(p_request_id, 'in_review', null);
end;
$$;
comment on function public.start_privacy_review(uuid) is
'Ops: takes a received request into review, for instance until the person has proved who they are.';

create or replace function public.review_privacy_request(p_request_id uuid, p_decision text, p_note text default null)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request privacy.requests;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_decision := sec.valid_choice('decision', p_decision, array['approve', 'reject']);
  p_note := sec.valid_text('note', p_note, 0, 500, p_optional => true);
  v_request := privacy.locked_request(p_request_id);
  if v_request.status not in ('received', 'in_review') and (v_request.status, p_decision) <> ('failed', 'approve') then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_reviewed',
      message = format('The request is already %s', v_request.status);
  end if;
  return privacy.decide(p_request_id, case p_decision when 'approve' then 'approved' else 'rejected' end, p_note);
end;
$$;
comment on function public.review_privacy_request(uuid, text, text) is
'Ops: approves or rejects a request; approves one again that failed.';

create or replace function privacy.decide(p_request_id uuid, p_status text, p_note text) returns json
language plpgsql volatile
as $$
begin
  update privacy.requests set status = p_status, decision_note = coalesce(p_note, decision_note)
    where id = p_request_id;
  perform audit.record(case p_status
    when 'in_review' then 'privacy.in_review' when 'approved' then 'privacy.approved' when 'rejected'
      then 'privacy.rejected'
  end, jsonb_build_object('privacy_request_id', p_request_id));
  return json_build_object('ok', true, 'request_id', p_request_id, 'status', p_status);
end;
$$;
comment on function privacy.decide(uuid, text, text) is 'Moves a request by a decision of ops.';

create or replace function public.extend_privacy_request(p_request_id uuid, p_months int, p_reason text) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_request privacy.requests;
begin
  perform sec.require_ops();
  p_request_id := sec.valid_uuid('request_id', p_request_id);
  p_months := sec.valid_integer('months', p_months, 1, 2);
  p_reason := sec.valid_text('reason', p_reason, 1, 500);
  v_request := privacy.locked_request(p_request_id);
  perform privacy.require_status(v_request, 'received', 'in_review', 'approved', 'failed');
  update privacy.requests
  set due_at = created_at + interval '1 month' * (1 + p_months), extension_reason = p_reason
  where id = p_request_id
  returning * into v_request;
  perform audit.record('privacy.extended', jsonb_build_object('privacy_request_id', p_request_id, 'months', p_months));
  return json_build_object('ok', true, 'request_id', p_request_id, 'due_at', v_request.due_at);
end;
$$;
comment on function public.extend_privacy_request(uuid, int, text) is
'Ops: puts the end off by one or two months from the first one (GDPR article 12(3)); the person is to be told the '
'reason.';

create or replace function public.remind_privacy_deadlines(p_limit int default 500) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  c_ahead constant interval := interval '7 days';
  v_request privacy.requests;
  v_reminded int := 0;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- Once when a week is left, and once more when the time is over.
  for v_request in
    select * from privacy.requests
    where status not in ('completed', 'rejected') and due_at < now() + c_ahead
      and (reminded_at is null or (due_at < now() and reminded_at < due_at))
    order by due_at limit p_limit for update skip locked
  loop
    update privacy.requests set reminded_at = now() where id = v_request.id;
    perform ops.open_exception('deadline', v_request.id::text, format(
      'the answer to a request for %s %s %s', v_request.kind,
      case when v_request.due_at < now() then 'was due on' else 'is due on' end,
      to_char(v_request.due_at at time zone 'UTC', 'YYYY-MM-DD')
    ));
    perform audit.record('privacy.reminded', jsonb_build_object('privacy_request_id', v_request.id));
    v_reminded := v_reminded + 1;
  end loop;
  return v_reminded;
end;
$$;
comment on function public.remind_privacy_deadlines(int) is
'Internal: shows ops the open requests that are due within a week, and again those that are overdue; says how many.';

create or replace function public.privacy_get_request(p_request_id uuid) returns setof privacy.requests
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  return query select * from privacy.requests where id = p_request_id;
end;
$$;
comment on function public.privacy_get_request(uuid) is 'Ops: one request, no row when there is none.';

create or replace function public.privacy_log_audit(p_who uuid, p_what text, p_payload jsonb default '{}')
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  perform sec.require_ops();
  if p_who is distinct from auth.uid() and not (sec.is_service() and sec.from_edge()) then
    raise exception using
      errcode = '42501', constraint = 'privacy_audit_own', message = 'Ops log what they did themselves';
  end if;
  p_what := sec.valid_pattern(p_what, '^privacy[.][a-z_]{1,60}$', 'what must be privacy.<what>');
  -- Written whole, so that it is found here, by whatever does what it says; nobody says that it was done.
  if exists (
    select from pg_proc where proowner = 'ecotrips_owner'::regrole and strpos(prosrc, quote_literal(p_what)) > 0
  ) then
    perform sec.refuse_input(format('what: %s is said by what does it', p_what));
  end if;
  p_payload := sec.valid_json('payload', p_payload, 'object', 8000);
  -- As in src/domain/audit.py.
  if exists (
    select from jsonb_each(p_payload) as told (name, value)
    where name !~ '^[a-z0-9_]{1,60}$' or jsonb_typeof(value) in ('object', 'array')
      or value #>> '{}' !~ '^[A-Za-z0-9_.:/+-]{0,128}$'
  ) then
    perform sec.refuse_input('payload must hold ids, numbers and short codes');
  end if;
  insert into audit.events (who, what, request_id, payload)
  values (coalesce(p_who::text, sec.actor()), p_what, sec.request_id(), p_payload)
  returning id into v_id;
  return v_id;
end;
$$;
comment on function public.privacy_log_audit(uuid, text, jsonb) is
'Ops: adds an event about privacy, none that a function of ours writes, to the audit trail and returns its id; the '
'payload holds ids, numbers and short codes, never personal data.';

create or replace function privacy.refuse_erased() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from privacy.requests r join privacy.certificates c on c.request_id = r.id
      where r.subject_user_id = new.auth_user_id
  ) then
    raise exception using
      errcode = 'PT409', constraint = 'subject_erased', message = 'This person was erased and is not imported again';
  end if;
  return new;
end;
$$;
comment on function privacy.refuse_erased() is 'Trigger: an import does not bring back who was erased.';

create or replace trigger refuse_erased before insert on core.profiles
for each row execute function privacy.refuse_erased();
