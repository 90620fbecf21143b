-- Named counters of clients (API.md section 11).

create or replace function public.increment_counter(p_name text, p_delta bigint default 1) returns json
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  with counted as (
    insert into ops.counters as c (name, count) values (p_name, p_delta)
    on conflict (name) do update set count = c.count + excluded.count, updated_at = now()
    returning name, count
  )
  select json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'counter', json_build_object('name', name, 'count', count)
  )
  from counted
$$;
comment on function public.increment_counter(text, bigint) is 'Service: adds to a named counter, made when new, and returns it.';
