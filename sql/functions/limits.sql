-- Rate limits (API.md section 1, Limits): one token bucket per function and caller.

create or replace function ops.take_token(p_function text, p_caller text, p_per_minute int) returns int
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_tokens double precision;
begin
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
'Takes one call from a caller''s minute; 0 when there was one, else the seconds until there is.';
