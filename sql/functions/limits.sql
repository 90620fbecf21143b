-- Rate limits, one token bucket per function and caller, and the bound of an answer.

create or replace function ops.take_token(p_function text, p_caller text, p_per_minute int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_tokens double precision;
begin
  p_function := sec.valid_text('function', p_function, 1, 255);
  p_caller := sec.valid_text('caller', p_caller, 1, 255);
  p_per_minute := sec.valid_integer('per_minute', p_per_minute, 1, 1000000);
  insert into ops.rate_limits as b (function, caller, tokens, refilled_at)
  values (p_function, p_caller, p_per_minute, clock_timestamp())
  on conflict (function, caller) do update
    set tokens = least(
          p_per_minute, b.tokens + p_per_minute * extract(epoch from clock_timestamp() - b.refilled_at) / 60
        ),
        refilled_at = clock_timestamp()
  returning tokens into v_tokens;
  if v_tokens < 1 then
    return ceil((1 - v_tokens) * 60 / p_per_minute);
  end if;
  update ops.rate_limits set tokens = tokens - 1 where function = p_function and caller = p_caller;
  return 0;
end;
$$;
comment on function ops.take_token(text, text, int) is
'Internal: takes one call from a caller''s minute; 0 when there was one, else the seconds until there is.';

create or replace function ops.purge_rate_limits(p_limit int default 5000) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_purged int;
begin
  p_limit := sec.valid_integer('limit', p_limit, 1, 10000);
  -- A bucket is full after a minute, so one untouched for an hour can go.
  delete from ops.rate_limits b
  using (
    select function, caller from ops.rate_limits
    where refilled_at < now() - interval '1 hour'
    limit p_limit
    for update skip locked
  ) old
  where b.function = old.function and b.caller = old.caller;
  get diagnostics v_purged = row_count;
  return v_purged;
end;
$$;
comment on function ops.purge_rate_limits(int) is
'Internal: removes at most p_limit token buckets that are long full again.';

create or replace function sec.count_answer(p_bytes bigint) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  c_most constant bigint := 4 * 1024 * 1024;
  -- Exports may have any number of rows, so for ops only values of this size count.
  c_value constant bigint := 1024 * 1024;
  v_total bigint := p_bytes + coalesce(nullif(current_setting('sec.answer_bytes', true), ''), '0')::bigint;
begin
  perform set_config('sec.answer_bytes', v_total::text, true);
  if v_total > c_most and (p_bytes > c_value or not sec.is_ops()) then
    raise exception using
      errcode = 'PT400',
      constraint = 'answer_bounded',
      message = 'Resources inside others may hold 4 MiB in all, of ops 1 MiB in each list, where a row is shown more than '
        'once; as much may numbers that texts are cast to',
      hint = 'Embed a list on one way only, or give it a limit.';
  end if;
end;
$$;
comment on function sec.count_answer(bigint) is
'Internal: counts bytes that an answer holds beyond its rows. Raises answer_bounded beyond 4 MiB in all; of ops and '
'the service in values above 1 MiB only.';

create or replace function sec.bounded_rows(p_rows jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- Rows far below the bound are counted inline, because a call costs as much again.
  c_far constant bigint := 3 * 1024 * 1024;
  -- The memory overhead of a value, so that many small values count, too.
  c_each constant bigint := 128;
  -- Counted as text, the form that is sent: a number of a few bytes may have very many digits.
  v_bytes bigint := c_each + coalesce(octet_length(p_rows::text), 0);
  v_total bigint := v_bytes + coalesce(nullif(current_setting('sec.answer_bytes', true), ''), '0')::bigint;
begin
  if v_total < c_far then
    perform set_config('sec.answer_bytes', v_total::text, true);
  else
    perform sec.count_answer(v_bytes);
  end if;
  return p_rows;
end;
$$;
comment on function sec.bounded_rows(jsonb) is
'Internal: counts the bytes of lists, and rows, that an answer may show more than once. Raises answer_bounded as '
'sec.count_answer.';

create or replace function sec.bounded_cast(p_value anyelement) returns anyelement
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
  -- Arrays and ranges take a backslash or quote before any character, numbers take underscores and blanks.
  v_text text := translate(p_value::text, E'\\"_ \t\n\r\v\f', '');
  -- No number has more digits.
  c_digits constant int := 131072;
begin
  if v_text ~* '[0-9.]e[-+]?[0-9]{3}' then
    perform sec.count_answer(sum(least(left(number.exponent[1], 6)::int, c_digits)))
    from regexp_matches(v_text, '[0-9.]e[-+]?0*([0-9]+)', 'gi') as number (exponent);
  end if;
  return p_value;
end;
$$;
comment on function sec.bounded_cast(anyelement) is
'Internal: counts the digits that exponents in a text stand for, before it is cast to numbers. Raises answer_bounded '
'as sec.count_answer.';
