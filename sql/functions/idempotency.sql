-- First answers, kept for 24 h (docs/api.md, Idempotency-Key).

create or replace function ops.claim_idempotency_key(p_caller text, p_key text, p_request_hash bytea)
returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_claim uuid;
  v_row ops.idempotency_keys;
begin
  p_caller := sec.valid_text('caller', p_caller, 1, 255);
  p_key := sec.valid_text('key', p_key, 1, 255);
  if p_request_hash is null then
    perform sec.refuse_input('request_hash must be given');
  end if;
  insert into ops.idempotency_keys as k (caller, key, request_hash, request_id, locked_until)
  values (p_caller, p_key, p_request_hash, sec.request_id(), now() + interval '60 seconds')
  on conflict (caller, key) do update
    set request_hash = excluded.request_hash, request_id = excluded.request_id, locked_until = excluded.locked_until,
      claim = excluded.claim, status = null, body = null, created_at = now()
    where k.created_at < now() - interval '24 hours'
      or (k.status is null and k.locked_until < now() and k.request_hash = excluded.request_hash)
  returning k.claim into v_claim;
  if found then
    return json_build_object('claim', v_claim);
  end if;
  select * into v_row from ops.idempotency_keys k where k.caller = p_caller and k.key = p_key;
  if v_row.request_hash <> p_request_hash then
    raise exception using
      errcode = 'PT409', constraint = 'idempotency_key_reused',
      message = 'The Idempotency-Key was used with another request';
  elsif v_row.status is null then
    raise exception using
      errcode = 'PT409', constraint = 'idempotency_key_in_use',
      message = 'A request with this Idempotency-Key is still running';
  end if;
  return json_build_object('status', v_row.status, 'body', v_row.body);
end;
$$;
comment on function ops.claim_idempotency_key(text, text, bytea) is
'Internal: the first request''s claim, else the first answer''s status and body; raises idempotency_key_reused or '
'idempotency_key_in_use.';

create or replace function ops.settle_idempotency_key(p_claim uuid, p_status int, p_body text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  update ops.idempotency_keys set status = p_status, body = p_body where claim = p_claim
$$;
comment on function ops.settle_idempotency_key(uuid, int, text) is 'Internal: keeps the first answer of a claimed key.';

create or replace function ops.keep_first_answer(p_claim uuid, p_answer json) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  update ops.idempotency_keys set status = 200, body = p_answer::text where claim = p_claim;
  select p_answer::text;
$$;
comment on function ops.keep_first_answer(uuid, json) is
'Internal: keeps a function''s answer under a claimed key in the very transaction of its effect, so that a lost '
'answer is not run again. The claim is a secret of its request.';

create or replace function ops.release_idempotency_key(p_claim uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  delete from ops.idempotency_keys where claim = p_claim and status is null
$$;
comment on function ops.release_idempotency_key(uuid) is
'Internal: frees a key whose request had no answer worth keeping (5xx) and no effect.';

create or replace function ops.purge_idempotency_keys(p_limit int default 5000) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_purged int;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  delete from ops.idempotency_keys k
  using (
    select caller, key from ops.idempotency_keys
    where created_at < now() - interval '24 hours'
    order by created_at
    limit p_limit
    for update skip locked
  ) old
  where k.caller = old.caller and k.key = old.key;
  get diagnostics v_purged = row_count;
  return v_purged;
end;
$$;
comment on function ops.purge_idempotency_keys(int) is
'Internal: removes at most p_limit answers older than 24 h and says how many.';
