-- Who runs which sweep when: slots of time, taken once over all hosts. Sweeps find their own work and lock it row by
-- row, so a turn that overlaps another or dies half-way is harmless.

create or replace function ops.claim_sweep(p_name text, p_seconds double precision) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_name := sec.valid_text('name', p_name, 1, 64);
  p_seconds := sec.valid_number('seconds', p_seconds, 0.001, 1e9);
  insert into ops.sweeps as s (name, slot, request_id)
  values (
    p_name, date_bin(make_interval(secs => p_seconds), now(), timestamptz '2000-01-01 00:00:00+00'), sec.request_id()
  )
  on conflict (name) do update
    set slot = excluded.slot, request_id = excluded.request_id, claimed_at = now()
    -- A time in the future comes from a clock that was set back since, and does not count.
    where (s.slot < excluded.slot or s.slot > now())
      and (s.next_at <= now() or s.next_at > now() + interval '10 minutes');
  return found;
end;
$$;
comment on function ops.claim_sweep(text, double precision) is
'Internal: takes the running period of p_seconds for a sweep; false when it is taken already or the sweep is backing '
'off.';

create or replace function ops.finish_sweep(p_name text, p_handled bigint) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_name := sec.valid_text('name', p_name, 1, 64);
  p_handled := sec.valid_integer('handled', p_handled, 0, 1000000000);
  if exists (select from ops.sweeps where name = p_name and failures > 0) then
    perform ops.resolve_exception('sweep', p_name);
  end if;
  update ops.sweeps
  set finished_at = now(), handled = handled + p_handled, failures = 0, next_at = '-infinity', last_error = null
  where name = p_name;
  -- A full queue stays full after its holder has gone, until somebody notifies or asks.
  perform pg_notification_queue_usage();
end;
$$;
comment on function ops.finish_sweep(text, bigint) is
'Internal: a turn ended well; its exception, if there is one, is resolved.';

create or replace function ops.fail_sweep(p_name text, p_error text) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  c_patience constant int := 5;
  c_longest constant double precision := 300;
  v_failures int;
begin
  p_name := sec.valid_text('name', p_name, 1, 64);
  p_error := left(p_error, 1000);
  -- The slot is released after the back-off: a second, doubled with each further failure up to five minutes, and
  -- spread.
  update ops.sweeps
  set slot = '-infinity', finished_at = now(), failures = failures + 1, last_error = p_error,
    next_at = now() + make_interval(secs => least(c_longest, power(2, least(failures, 16))) * (0.75 + random() / 2))
  where name = p_name
  returning failures into v_failures;
  if v_failures >= c_patience then
    perform ops.open_exception('sweep', p_name, format('%s failures in a row, the last: %s', v_failures, p_error));
    perform audit.record('sweep.failed', jsonb_build_object('name', p_name, 'failures', v_failures));
  end if;
  return v_failures;
end;
$$;
comment on function ops.fail_sweep(text, text) is
'Internal: a turn failed; backs off, and from the fifth failure in a row keeps an ops exception open. Answers how '
'many.';
