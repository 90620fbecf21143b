-- What a caller may send, for the functions that HTTP, /rest/v1 and psql call: the bounds and messages of the endpoint
-- that fronts the function (src/http), one line for each parameter, after the right and before anything is read.
-- Each gives the value back to be assigned, trimmed where it is text: an assignment costs a quarter of a perform.

create or replace function sec.valid_text(
  p_name text, p_value text, p_least int, p_most int, p_optional boolean default false, p_message text default null
) returns text
language plpgsql immutable
as $$
declare
  v_text text := btrim(p_value, sec.blanks());
begin
  if length(v_text) between p_least and p_most or p_value is null and p_optional then
    return v_text;
  end if;
  raise exception using errcode = 'PT400', constraint = 'input_text', message = coalesce(p_message, case p_least
    when 0 then format('%s must be <= %s characters', p_name, p_most)
    else format('%s must be between %s and %s characters', p_name, p_least, p_most)
  end);
end;
$$;
comment on function sec.valid_text(text, text, int, int, boolean, text) is
'The text without blanks around it, if it has from p_least to p_most characters. Raises input_text.';

create or replace function sec.blanks() returns text
language sql immutable
as $$
  select U&' \0009\000A\000B\000C\000D\001C\001D\001E\001F\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000'
$$;
comment on function sec.blanks() is 'Every character that counts as a blank around a text: Unicode''s White_Space and the four separators.';

create or replace function sec.valid_pattern(
  p_value text, p_pattern text, p_message text, p_optional boolean default false
) returns text
language plpgsql immutable
as $$
declare
  v_text text := btrim(p_value, sec.blanks());
begin
  if v_text ~ p_pattern or p_value is null and p_optional then
    return v_text;
  end if;
  raise exception using errcode = 'PT400', constraint = 'input_pattern', message = p_message;
end;
$$;
comment on function sec.valid_pattern(text, text, text, boolean) is
'The text without blanks around it, if it matches a pattern that is anchored at both ends. Raises input_pattern.';

create or replace function sec.valid_choice(
  p_name text, p_value text, p_choices text[], p_optional boolean default false, p_message text default null
) returns text
language plpgsql immutable
as $$
declare
  v_text text := btrim(p_value, sec.blanks());
begin
  if v_text = any (p_choices) or p_value is null and p_optional then
    return v_text;
  end if;
  raise exception using
    errcode = 'PT400', constraint = 'input_choice',
    message = coalesce(p_message, format('%s must be %s', p_name, array_to_string(p_choices, '|')));
end;
$$;
comment on function sec.valid_choice(text, text, text[], boolean, text) is 'The text, if it is one of these. Raises input_choice.';

create or replace function sec.valid_currency(p_name text, p_value text, p_optional boolean default false) returns text
language plpgsql immutable
as $$
begin
  return sec.valid_choice(p_name, upper(p_value), array['USD', 'EUR', 'RWF'], p_optional);
end;
$$;
comment on function sec.valid_currency(text, text, boolean) is 'A currency''s code in capitals. Raises input_choice.';

create or replace function sec.valid_integer(
  p_name text, p_value bigint, p_least bigint, p_most bigint, p_optional boolean default false, p_message text default null
) returns bigint
language plpgsql immutable
as $$
begin
  if p_value between p_least and p_most or p_value is null and p_optional then
    return p_value;
  end if;
  raise exception using
    errcode = 'PT400', constraint = 'input_integer',
    message = coalesce(p_message, format('%s must be an integer from %s to %s', p_name, p_least, p_most));
end;
$$;
comment on function sec.valid_integer(text, bigint, bigint, bigint, boolean, text) is
'The number, if it lies within the bounds, both included. Raises input_integer.';

create or replace function sec.valid_amount(p_name text, p_value bigint, p_optional boolean default false) returns bigint
language plpgsql immutable
as $$
begin
  return sec.valid_integer(p_name, p_value, 1, 1000000000000, p_optional, p_name || ' must be a positive integer');
end;
$$;
comment on function sec.valid_amount(text, bigint, boolean) is 'An amount of money in minor units. Raises input_integer.';

create or replace function sec.valid_date(
  p_name text, p_value date, p_optional boolean default false, p_message text default null
) returns date
language plpgsql immutable
as $$
begin
  if p_value between '0001-01-01' and '9999-12-31' or p_value is null and p_optional then
    return p_value;
  end if;
  raise exception using
    errcode = 'PT400', constraint = 'input_date', message = coalesce(p_message, p_name || ' must be YYYY-MM-DD');
end;
$$;
comment on function sec.valid_date(text, date, boolean, text) is
'A day with a year of four digits, which neither infinity has. Raises input_date.';

create or replace function sec.valid_time(p_name text, p_value timestamptz, p_optional boolean default false) returns timestamptz
language plpgsql immutable
as $$
begin
  if p_value >= timestamptz '0001-01-02 00:00:00+00' and p_value < timestamptz '9999-12-31 00:00:00+00'
    or p_value is null and p_optional then
    return p_value;
  end if;
  raise exception using
    errcode = 'PT400', constraint = 'input_time', message = p_name || ' must be an ISO 8601 time with a zone';
end;
$$;
comment on function sec.valid_time(text, timestamptz, boolean) is
'A time with a year of four digits wherever one lives, which neither infinity has. Raises input_time.';

create or replace function sec.valid_uuid(p_name text, p_value uuid) returns uuid
language plpgsql immutable
as $$
begin
  if p_value is not null then
    return p_value;
  end if;
  raise exception using errcode = 'PT400', constraint = 'input_uuid', message = p_name || ' must be a valid UUID';
end;
$$;
comment on function sec.valid_uuid(text, uuid) is 'An id that is given. Raises input_uuid.';

create or replace function sec.valid_flag(p_name text, p_value boolean) returns boolean
language plpgsql immutable
as $$
begin
  if p_value is not null then
    return p_value;
  end if;
  raise exception using errcode = 'PT400', constraint = 'input_flag', message = p_name || ' must be true or false';
end;
$$;
comment on function sec.valid_flag(text, boolean) is 'A yes or no that is given. Raises input_flag.';

create or replace function sec.valid_json(
  p_name text, p_value jsonb, p_type text, p_most int, p_optional boolean default false
) returns jsonb
language plpgsql immutable
as $$
begin
  if p_value is null and p_optional then
    return p_value;
  elsif jsonb_typeof(p_value) is distinct from p_type then
    raise exception using
      errcode = 'PT400', constraint = 'input_json',
      message = format('%s must be %s', p_name, case p_type when 'array' then 'a list' else 'an ' || p_type end);
  elsif length(p_value::text) > p_most or jsonb_path_exists(p_value, '$.**{17 to last}') then
    raise exception using
      errcode = 'PT400', constraint = 'input_json',
      message = format('%s must be at most %s characters of JSON, nested no deeper than 16', p_name, p_most);
  end if;
  return p_value;
end;
$$;
comment on function sec.valid_json(text, jsonb, text, int, boolean) is
'JSON of this type (object or array), of at most p_most characters and 16 levels. Raises input_json.';
