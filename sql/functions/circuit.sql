-- The circuit of a supplier, one for all processes. The service judges outcomes (pybreaker) and writes its judgement
-- here by version; who may call, and who probes, is decided here.

create or replace function inventory.circuit_shown(p_circuit inventory.circuit) returns text
language sql stable
as $$
  select case
    when p_circuit.forced is not null then p_circuit.forced
    when p_circuit.state = 'open' and p_circuit.cooldown_until <= clock_timestamp() then 'half-open'
    else p_circuit.state
  end
$$;
comment on function inventory.circuit_shown(inventory.circuit) is 'closed, open or half-open: open and rested.';

create or replace function inventory.circuit_answer(p_circuit inventory.circuit, p_probing boolean default false)
returns json
language sql stable
as $$
  select json_build_object(
    'state', inventory.circuit_shown(p_circuit),
    'forced', p_circuit.forced is not null,
    'failures', p_circuit.failures,
    'epoch', p_circuit.epoch,
    'version', p_circuit.version,
    'probing', p_probing,
    'retry_after', case when inventory.circuit_shown(p_circuit) = 'closed' then 0 else
      greatest(1, ceil(coalesce(extract(epoch from p_circuit.cooldown_until - clock_timestamp()), 60)))::int end
  )
$$;
comment on function inventory.circuit_answer(inventory.circuit, boolean) is 'The circuit as the service reads it.';

create or replace function inventory.read_circuit(p_name text) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform sec.require_ops();
  p_name := sec.valid_text('name', p_name, 1, 64);
  return (select inventory.circuit_answer(c) from inventory.circuit c where name = p_name);
end;
$$;
comment on function inventory.read_circuit(text) is 'Ops: the circuit now.';

create or replace function inventory.admit_call(p_name text, p_probe_seconds int) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_circuit inventory.circuit;
begin
  select * into v_circuit from inventory.circuit where name = p_name;
  if inventory.circuit_shown(v_circuit) <> 'half-open' then
    return inventory.circuit_answer(v_circuit);
  end if;
  update inventory.circuit
  set probe_until = clock_timestamp() + make_interval(secs => p_probe_seconds), version = version + 1
  where name = p_name and state = 'open' and forced is null and cooldown_until <= clock_timestamp()
    and coalesce(probe_until, '-infinity') < clock_timestamp()
  returning * into v_circuit;
  if found then
    return inventory.circuit_answer(v_circuit, true);
  end if;
  return (select inventory.circuit_answer(c) from inventory.circuit c where name = p_name);
end;
$$;
comment on function inventory.admit_call(text, int) is
'Internal: the circuit, and whether this caller is the one probe of a half-open one (probing), for so many seconds.';

create or replace function inventory.release_probe(p_name text, p_version int) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  update inventory.circuit set probe_until = null, version = version + 1 where name = p_name and version = p_version
$$;
comment on function inventory.release_probe(text, int) is
'Internal: the probe ended without a verdict; another may probe.';

create or replace function inventory.judge_circuit(
  p_name text, p_version int, p_state text, p_failures int, p_cooldown_seconds int, p_error text default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_before inventory.circuit;
  v_circuit inventory.circuit;
begin
  p_name := sec.valid_text('name', p_name, 1, 64);
  p_version := sec.valid_integer('version', p_version, 0, 2147483647);
  p_state := sec.valid_choice('state', p_state, array['open', 'closed']);
  p_failures := sec.valid_integer('failures', p_failures, 0, 1000000);
  p_cooldown_seconds := sec.valid_integer(
    'cooldown_seconds', p_cooldown_seconds, 0, 86400, p_optional => p_state = 'closed'
  );
  p_error := left(p_error, 1000);
  select * into v_before from inventory.circuit where name = p_name for update;
  if v_before.version <> p_version then
    return inventory.circuit_answer(v_before);
  end if;
  update inventory.circuit set
    state = p_state,
    failures = p_failures,
    version = version + 1,
    epoch = epoch + (state <> p_state)::int,
    probe_until = null,
    opened_at = case when p_state = 'open' then clock_timestamp() end,
    cooldown_until = case when p_state = 'open' then clock_timestamp() + make_interval(secs => p_cooldown_seconds) end,
    updated_at = clock_timestamp()
  where name = p_name
  returning * into v_circuit;
  perform inventory.tell_circuit(v_before, v_circuit, p_error);
  return 'null'::json;
end;
$$;
comment on function inventory.judge_circuit(text, int, text, int, int, text) is
'Internal: writes what outcomes have made of the circuit. When it has changed meanwhile nothing is written, and it is '
'returned
as it is; else null.';

create or replace function inventory.tell_circuit(p_before inventory.circuit, p_after inventory.circuit, p_error text)
returns void
language plpgsql volatile
as $$
begin
  if (p_before.state, p_before.forced) is distinct from (p_after.state, p_after.forced) then
    perform audit.record('inventory.circuit', jsonb_build_object(
      'name', p_after.name, 'state', p_after.state, 'forced', p_after.forced, 'cooldown_until', p_after.cooldown_until
    ));
    perform pg_notify('ecotrips_circuit', p_after.name);
  end if;
  if p_after.state = 'open' and p_before.state = 'closed' then
    perform ops.open_exception(
      'circuit', p_after.name, coalesce(p_error, 'the supplier does not answer'), upper(p_after.name)
    );
  elsif p_after.state = 'closed' and p_before.state = 'open' then
    perform ops.resolve_exception('circuit', p_after.name);
  end if;
end;
$$;
comment on function inventory.tell_circuit(inventory.circuit, inventory.circuit, text) is
'Tells the audit trail, the other processes and ops that a circuit opened or closed.';

create or replace function public.force_circuit(p_name text, p_forced text) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_before inventory.circuit;
  v_circuit inventory.circuit;
begin
  perform sec.require_ops();
  p_name := sec.valid_text('name', p_name, 1, 64);
  p_forced := sec.valid_choice('forced', p_forced, array['open', 'closed'], p_optional => true);
  select * into v_before from inventory.circuit where name = p_name for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'circuit_known', message = 'No such circuit';
  end if;
  if p_forced is null then
    -- Ops have resolved it, so the counts start again.
    update inventory.circuit set forced = null, state = 'closed', failures = 0, epoch = epoch + 1,
      version = version + 1,
      opened_at = null, cooldown_until = null, probe_until = null, updated_at = clock_timestamp()
    where name = p_name returning * into v_circuit;
  else
    update inventory.circuit set forced = p_forced, version = version + 1, updated_at = clock_timestamp()
    where name = p_name returning * into v_circuit;
  end if;
  perform inventory.tell_circuit(v_before, v_circuit, null);
  return inventory.circuit_answer(v_circuit);
end;
$$;
comment on function public.force_circuit(text, text) is
'Ops: holds a circuit open or closed whatever happens; null closes it and lets outcomes decide again.';
