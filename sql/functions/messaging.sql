-- WhatsApp messages out: recorded, then sent, then the outcome. An attempt whose answer was lost is
-- `unknown` and never repeated by itself: Meta knows no idempotency key, and its report of the message settles it.

create or replace function wa.guard_message() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (select from wa.transitions where from_status = old.status and to_status = new.status) then
    raise exception using
      errcode = 'PT409', constraint = 'message_transition',
      message = format('A %s message cannot become %s', old.status, new.status);
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function wa.guard_message() is 'Trigger: only legal moves of a message''s status.';

create or replace trigger guard_message before update on wa.messages
for each row execute function wa.guard_message();

create or replace function wa.sending(p_message wa.messages) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'message_id', p_message.id,
    'attempt', p_message.attempts,
    'mode', p_message.mode,
    'type', p_message.type,
    'recipient', p_message.msisdn,
    'text', p_message.body,
    'url', p_message.url,
    'template', p_message.template,
    'link_template', p_message.link_template,
    'sent_as', p_message.sent_as
  ))
$$;
comment on function wa.sending(wa.messages) is 'What a sender needs of one attempt.';

create or replace function wa.message_answer(p_message wa.messages) returns json
language sql stable
as $$
  select json_strip_nulls(json_build_object(
    'ok', true,
    'request_id', sec.request_id(),
    'mode', p_message.mode,
    'message_id', coalesce(p_message.provider_message_id, p_message.id::text),
    'id', p_message.id,
    'status', p_message.status,
    'error_code', p_message.error_code
  ))
$$;
comment on function wa.message_answer(wa.messages) is
'The body of wa-send: message_id is WhatsApp''s once it is known and ours until then, id always ours.';

create or replace function wa.valid_template(p_template jsonb, p_optional boolean) returns jsonb
language plpgsql stable
as $$
begin
  if p_template is null and p_optional then
    return null;
  elsif p_template is null then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'template is required';
  end if;
  p_template := sec.valid_json('template', p_template, 'object', 64000);
  perform sec.valid_text('template.name', p_template ->> 'name', 1, 512);
  perform sec.valid_text('template.components.body_text', p_template ->> 'body_text', 1, 1024);
  perform sec.valid_text('template.language', p_template ->> 'language', 2, 16);
  if not p_template @? 'strict $ ? (@.name.type() == "string" && @.body_text.type() == "string" '
    '&& @.language.type() == "string")'
    or coalesce(jsonb_typeof(p_template -> 'buttons'), 'array') <> 'array'
    or coalesce(jsonb_typeof(p_template -> 'variables'), 'null') not in ('null', 'object') then
    raise exception using
      errcode = 'PT400', constraint = 'input_valid', message = 'template has a field of another type';
  elsif jsonb_array_length(p_template -> 'buttons') > 10 or exists (
    select from jsonb_array_elements(p_template -> 'buttons') as button
    where not button @? 'strict $ ? (@.size() == 2 && @[0].type() == "string" && @[1].type() == "string")'
      or length(button ->> 0) not between 1 and 256 or length(button ->> 1) not between 1 and 25
  ) then
    raise exception using
      errcode = 'PT400', constraint = 'input_valid',
      message = 'template.components.buttons must be a list of 0 to 10 pairs of id and text';
  elsif exists (
    select from jsonb_path_query(p_template, 'strict $.variables ? (@.type() == "object").*') as value
      where jsonb_typeof(value) <> 'string'
  ) then
    raise exception using
      errcode = 'PT400', constraint = 'input_valid', message = 'template.components.vars must hold texts';
  end if;
  return p_template;
end;
$$;
comment on function wa.valid_template(jsonb, boolean) is
'A template {name, body_text, language, buttons?: [[id, text]], variables?: {}} as senders read it. Raises '
'input_valid.';

create or replace function public.send_message(
  p_type text,
  p_recipient text,
  p_text text default null,
  p_url text default null,
  p_template jsonb default null,
  p_link_template text default null,
  p_claimed boolean default false
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_message wa.messages;
  v_msisdn text;
begin
  perform sec.require_service();
  p_type := sec.valid_choice('type', p_type, array['text', 'link_notice', 'template']);
  v_msisdn := ltrim(
    sec.valid_pattern(p_recipient, '^[+]?[1-9][0-9]{6,14}$', 'to must be a phone number in E.164 digits'), '+'
  );
  p_text := sec.valid_text('text', p_text, 0, 4096, p_optional => true);
  p_url := sec.valid_text('url', p_url, 0, 2048, p_optional => true);
  if p_type <> 'template' then
    p_text := sec.valid_text('text', p_text, 1, 4096);
  end if;
  if p_type = 'link_notice' then
    -- Messages of the mock may hold links to local hosts.
    p_url := sec.valid_link('url', p_url, ops.flag('WA_OFFLINE') = '1');
    p_text := sec.valid_text(
      'text', p_text, 1, 4095 - length(p_url), p_message => 'text and url together must be <= 4096 characters'
    );
  end if;
  p_template := wa.valid_template(p_template, p_type <> 'template');
  p_link_template := sec.valid_text('link_template', p_link_template, 1, 600, p_optional => true);
  p_claimed := sec.valid_flag('claimed', p_claimed);
  insert into wa.messages (
    direction, mode, type, msisdn, body, url, template, link_template, sent_as, status, attempts, locked_until
  ) values (
    'out',
    case ops.flag('WA_OFFLINE') when '1' then 'mock' else 'live' end,
    p_type, v_msisdn, p_text, p_url, p_template, p_link_template,
    case
      when p_type = 'template' then 'template'
      when p_type = 'link_notice' and p_link_template is not null and not wa.may_write_freely(v_msisdn) then 'template'
      else 'text'
    end,
    case when p_claimed then 'sending' else 'queued' end,
    p_claimed::int,
    case when p_claimed then now() + interval '1 minute' end
  ) returning * into v_message;
  perform audit.record('message.queued', jsonb_build_object(
    'message_id', v_message.id, 'type', p_type, 'mode', v_message.mode, 'sent_as', v_message.sent_as
  ));
  if p_claimed then
    return wa.sending(v_message);
  end if;
  perform pg_notify('ecotrips_messages', '');
  return wa.message_answer(v_message);
end;
$$;
comment on function public.send_message(text, text, text, text, jsonb, text, boolean) is
'Service: records a message, which the worker sends; with p_claimed the caller sends it and records the outcome '
'within a minute.';

create or replace function wa.may_write_freely(p_msisdn text) returns boolean
language sql stable
as $$
  select exists (
    select from wa.contacts where msisdn = p_msisdn and last_inbound_at > now() - interval '24 hours'
  )
$$;
comment on function wa.may_write_freely(text) is
'Whether the number wrote within 24 hours: after that WhatsApp delivers templates only.';

create or replace function wa.claim_messages(p_limit int) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_lost wa.messages;
  v_claimed json;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- Their claimants died between the call and its outcome, so nobody knows whether they were sent.
  for v_lost in
    select * from wa.messages where status = 'sending' and locked_until < now()
    order by id limit p_limit for update skip locked
  loop
    perform wa.settle_unknown(v_lost);
  end loop;
  with due as (
    select m.id from wa.messages m
    where m.status = 'queued' and m.next_attempt_at <= now()
      and not exists (select from wa.contacts c where c.msisdn = m.msisdn and c.hold_until > now())
    order by m.next_attempt_at limit p_limit for update of m skip locked
  ), claimed as (
    update wa.messages m
    set status = 'sending', attempts = m.attempts + 1, locked_until = now() + interval '1 minute', error_code = null
    from due where m.id = due.id
    returning m.*
  )
  select coalesce(json_agg(wa.sending(claimed)), '[]') into v_claimed from claimed;
  return v_claimed;
end;
$$;
comment on function wa.claim_messages(int) is
'Internal: queued messages that are due, for one minute this caller''s to send; ends attempts of callers that died.';

create or replace function wa.settle_unknown(p_message wa.messages) returns void
language plpgsql volatile
as $$
begin
  if p_message.mode = 'mock' then
    update wa.messages set status = 'queued', locked_until = null where id = p_message.id;
    return;
  end if;
  update wa.messages set status = 'unknown', locked_until = null where id = p_message.id;
  perform ops.open_exception(
    'message', p_message.id::text, 'no answer: it may have been sent; retry only if it was not', 'WHATSAPP'
  );
  perform audit.record(
    'message.unknown', jsonb_build_object('message_id', p_message.id, 'attempt', p_message.attempts)
  );
end;
$$;
comment on function wa.settle_unknown(wa.messages) is
'An attempt without an answer: waits for WhatsApp''s report, which settles it, or for ops.';

create or replace function public.record_message_outcome(
  p_message_id uuid,
  p_attempt int,
  p_result text,
  p_provider_message_id text default null,
  p_error_code int default null,
  p_retry_after int default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- The maximum number of attempts in a row; ops who retry a message give it as many again.
  c_attempts constant int := 8;
  v_message wa.messages;
begin
  select * into v_message from wa.messages where id = p_message_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'message_known', message = 'Message not found';
  end if;
  -- A report or a later attempt came first, and counts. Only the id of an accepted message is new.
  if v_message.status not in ('sending', 'unknown') or v_message.attempts <> p_attempt then
    return wa.message_answer(v_message);
  end if;
  case
    when p_result = 'accepted' then
      update wa.messages
      set status = 'sent', provider_message_id = p_provider_message_id, sent_at = now(), locked_until = null,
        error_code = null
      where id = p_message_id;
      perform ops.resolve_exception('message', p_message_id::text);
      perform wa.apply_status(s.provider_message_id, null, s.status, s.occurred_at, s.error_code)
      from wa.statuses s where s.provider_message_id = p_provider_message_id order by s.occurred_at;
    when p_result = 'unknown' then
      update wa.messages set error_code = p_error_code where id = p_message_id;
      perform wa.settle_unknown(v_message);
    when p_result = 'outside_window' and v_message.sent_as = 'text' and v_message.link_template is not null then
      perform wa.requeue(p_message_id, p_error_code, 0, 'template');
    when p_result = 'retry' and p_attempt % c_attempts <> 0 then
      perform wa.requeue(
        p_message_id, p_error_code, coalesce(p_retry_after, 2 ^ (p_attempt % c_attempts))::int, v_message.sent_as
      );
    when p_result = 'hold' and p_attempt % c_attempts <> 0 then
      perform wa.hold(v_message.msisdn, coalesce(p_retry_after, 86400));
      perform wa.requeue(p_message_id, p_error_code, coalesce(p_retry_after, 86400), v_message.sent_as);
      perform ops.open_exception(
        'message', p_message_id::text, format('held for a day by WhatsApp (%s)', p_error_code), 'WHATSAPP'
      );
    else
      perform wa.fail(p_message_id, p_error_code);
  end case;
  select * into v_message from wa.messages where id = p_message_id;
  perform audit.record('message.' || v_message.status, jsonb_build_object(
    'message_id', p_message_id, 'attempt', p_attempt, 'error_code', p_error_code
  ));
  return wa.message_answer(v_message);
end;
$$;
comment on function public.record_message_outcome(uuid, int, text, text, int, int) is
'Internal: what became of an attempt: accepted, retry, hold (a day), outside_window, refused or unknown. Older '
'attempts change nothing.';

create or replace function wa.requeue(p_message_id uuid, p_error_code int, p_seconds int, p_sent_as text) returns void
language sql volatile
as $$
  update wa.messages
  set status = 'queued', sent_as = p_sent_as, error_code = p_error_code, locked_until = null,
    provider_message_id = null,
    -- Spread, so that retries do not come at the same time.
    next_attempt_at = now() + make_interval(secs => p_seconds * (1 + random() / 4))
  where id = p_message_id
$$;
comment on function wa.requeue(uuid, int, int, text) is 'Puts a message back for another attempt after some seconds.';

create or replace function wa.hold(p_msisdn text, p_seconds int) returns void
language sql volatile
as $$
  insert into wa.contacts as c (msisdn, hold_until) values (p_msisdn, now() + make_interval(secs => p_seconds))
  on conflict (msisdn) do update set hold_until = greatest(c.hold_until, excluded.hold_until), updated_at = now()
$$;
comment on function wa.hold(text, int) is 'Nothing is sent to a number for some seconds.';

create or replace function wa.fail(p_message_id uuid, p_error_code int) returns void
language plpgsql volatile
as $$
begin
  update wa.messages
  set status = 'failed', failed_at = coalesce(failed_at, now()), error_code = p_error_code, locked_until = null
  where id = p_message_id;
  perform ops.open_exception(
    'message', p_message_id::text, format('WhatsApp did not take or deliver the message (%s)',
    coalesce(p_error_code::text, 'no code')), 'WHATSAPP'
  );
end;
$$;
comment on function wa.fail(uuid, int) is 'Ends a message as failed and shows it to ops.';

create or replace function wa.retry_message(p_cause text) returns boolean
language plpgsql volatile
as $$
begin
  update wa.messages
  set status = 'queued', next_attempt_at = now(), provider_message_id = null, failed_at = null
  where id::text = p_cause and direction = 'out' and status in ('failed', 'unknown');
  if found then
    perform audit.record('message.requeued', jsonb_build_object('message_id', p_cause));
    perform pg_notify('ecotrips_messages', '');
  end if;
  return found;
end;
$$;
comment on function wa.retry_message(text) is
'A message, named by its id, that failed or whose outcome is unknown: ops have decided that it is to be sent again.';
