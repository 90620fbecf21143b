-- What WhatsApp tells us: inbound messages and reports of ours, each once, in any order.

create or replace function wa.rank(p_status text) returns int
language sql immutable
as $$
  select case p_status when 'sent' then 1 when 'failed' then 2 when 'delivered' then 3 when 'read' then 4 else 0 end
$$;
comment on function wa.rank(text) is
'How much a status tells: a message ends at the highest it ever had, so that the order of reports does not matter.';

create or replace function wa.apply_status(
  p_provider_message_id text, p_message_id uuid, p_status text, p_at timestamptz, p_error_code int
) returns void
language plpgsql volatile
as $$
declare
  c_outside_window constant int := 131047;
  c_holds constant int[] := array[131048, 131049, 131064, 368];
  v_message wa.messages;
begin
  select * into v_message from wa.messages
  where provider_message_id = p_provider_message_id
    or (
      id = p_message_id and provider_message_id is null and status in ('sending', 'unknown', 'queued')
      -- Reports of a failed attempt do not count for the attempt that replaced it.
      and (p_status <> 'failed' or status <> 'queued')
      and not exists (
        select from wa.statuses s where s.provider_message_id = p_provider_message_id and s.status = 'failed'
          and p_status <> 'failed'
      )
    )
  for update;
  if not found or v_message.direction = 'in' or wa.rank(p_status) = 0 then
    return;
  end if;
  update wa.messages
  set provider_message_id = p_provider_message_id,
    sent_at = least(sent_at, case p_status when 'sent' then p_at end),
    delivered_at = least(delivered_at, case p_status when 'delivered' then p_at end),
    read_at = least(read_at, case p_status when 'read' then p_at end),
    failed_at = least(failed_at, case p_status when 'failed' then p_at end)
  where id = v_message.id;
  if wa.rank(p_status) <= wa.rank(v_message.status) then
    return;
  end if;
  if p_status = 'failed' and p_error_code = c_outside_window
    and v_message.sent_as = 'text' and v_message.link_template is not null then
    perform wa.requeue(v_message.id, p_error_code, 0, 'template');
    perform pg_notify('ecotrips_messages', '');
  elsif p_status = 'failed' then
    if p_error_code = any (c_holds) then
      perform wa.hold(v_message.msisdn, 86400);
    end if;
    perform wa.fail(v_message.id, p_error_code);
  else
    update wa.messages set status = p_status, locked_until = null, error_code = null where id = v_message.id;
    perform ops.resolve_exception('message', v_message.id::text);
  end if;
  perform audit.record(
    'message.' || p_status, jsonb_build_object('message_id', v_message.id, 'error_code', p_error_code)
  );
end;
$$;
comment on function wa.apply_status(text, uuid, text, timestamptz, int) is
'Applies one report to its message, found by WhatsApp''s id, or by ours while an attempt''s answer is missing.';

create or replace function public.receive_message_events(p_messages jsonb, p_statuses jsonb) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_received int;
  v_reported int := 0;
  v_status record;
begin
  perform sec.require_service();
  p_messages := sec.valid_json('messages', p_messages, 'array', 6000000);
  p_statuses := sec.valid_json('statuses', p_statuses, 'array', 6000000);
  if jsonb_path_exists(p_messages || p_statuses, '$[*] ? (@.type() != "object")') then
    perform sec.refuse_input('each event must be an object');
  end if;
  if exists (
    select from jsonb_to_recordset(p_messages || p_statuses)
      as e (provider_message_id text, occurred_at timestamptz)
    where length(e.provider_message_id) between 1 and 128 is not true or isfinite(e.occurred_at) is not true
  ) then
    raise exception using
      errcode = 'PT400', constraint = 'input_valid',
      message = 'each event must have a provider_message_id and an occurred_at';
  end if;
  with given as (
    select distinct on (provider_message_id) *
    from jsonb_to_recordset(p_messages)
      as m (provider_message_id text, msisdn text, type text, body text, occurred_at timestamptz)
    order by provider_message_id
  ), fresh as (
    insert into wa.messages (direction, mode, type, msisdn, body, status, provider_message_id, created_at)
    select
      'in', case ops.flag('WA_OFFLINE') when '1' then 'mock' else 'live' end, type, msisdn, left(body, 4096),
      'received',
      provider_message_id, occurred_at
    from given
    on conflict (provider_message_id) do nothing
    returning msisdn, created_at
  ), contacts as (
    insert into wa.contacts as c (msisdn, last_inbound_at)
    select msisdn, max(created_at) from fresh group by msisdn order by msisdn
    on conflict (msisdn) do update
      set last_inbound_at = greatest(c.last_inbound_at, excluded.last_inbound_at), updated_at = now()
  )
  select count(*) into v_received from fresh;
  -- In one order, so that concurrent batches do not deadlock.
  for v_status in
    select *
    from jsonb_to_recordset(p_statuses)
      as s (provider_message_id text, message_id uuid, status text, occurred_at timestamptz, error_code int)
    order by provider_message_id, occurred_at, status
  loop
    insert into wa.statuses (provider_message_id, status, occurred_at, error_code)
    values (v_status.provider_message_id, v_status.status, v_status.occurred_at, v_status.error_code)
    on conflict do nothing;
    if found then
      v_reported := v_reported + 1;
      perform wa.apply_status(
        v_status.provider_message_id, v_status.message_id, v_status.status, v_status.occurred_at, v_status.error_code
      );
    end if;
  end loop;
  if v_received > 0 then
    perform audit.record('message.received', jsonb_build_object('messages', v_received));
  end if;
  return json_build_object('ok', true, 'request_id', sec.request_id(), 'messages', v_received, 'statuses', v_reported);
end;
$$;
comment on function public.receive_message_events(jsonb, jsonb) is
'Service: stores inbound messages and reports once each, whatever their order; answers how many were new.';
