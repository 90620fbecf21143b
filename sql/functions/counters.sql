-- Named counters of clients (docs/api.md, Small services).

create or replace function public.increment_counter(p_name text, p_delta bigint default 1) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_count bigint;
begin
  perform sec.require_service();
  p_name := sec.valid_pattern(p_name, '^[A-Za-z0-9._:-]{1,128}$', 'name must be 1 to 128 of A-Za-z0-9._:-');
  p_delta := sec.valid_integer('delta', p_delta, -1000000, 1000000);
  insert into ops.counters as c (name, count) values (p_name, p_delta)
  on conflict (name) do update set count = c.count + excluded.count, updated_at = now()
  returning count into v_count;
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'counter', json_build_object('name', p_name, 'count', v_count)
  );
end;
$$;
comment on function public.increment_counter(text, bigint) is
'Service: adds to a named counter, made when new, and returns it.';
