-- Checks of callers' input, for functions that HTTP, /rest/v1 and psql call, with the bounds and messages of the
-- endpoint that fronts the function (src/http). Each parameter has one line, after the check of rights and before
-- anything is read. Each check returns the value to assign, trimmed where it is text. The checks are single SQL
-- expressions, volatile and without settings, so that the planner inlines them into an assignment; `perform` would call
-- them.

create or replace function sec.refuse_input(p_message text) returns text
language plpgsql volatile
as $$
begin
  raise exception using errcode = 'PT400', constraint = 'input_valid', message = p_message;
end;
$$;
comment on function sec.refuse_input(text) is
'Raises input_valid. Volatile, and so whatever calls it: else the planner may call it to estimate what comes out.';

create or replace function sec.blanks() returns text
language sql immutable
as $$
  select E' \u0009\u000A\u000B\u000C\u000D\u001C\u001D\u001E\u001F\u0085\u00A0\u1680\u2000\u2001\u2002\u2003'
    || E'\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'
$$;
comment on function sec.blanks() is
'Every character that counts as a blank around a text: Unicode''s White_Space and the four separators.';

create or replace function sec.valid_text(
  p_name text, p_value text, p_least int, p_most int, p_optional boolean default false, p_message text default null
) returns text
language sql volatile
as $$
  select case
    when length(btrim(p_value, sec.blanks())) between p_least and p_most or p_value is null and p_optional
      then btrim(p_value, sec.blanks())
    when p_message is not null then sec.refuse_input(p_message)
    when p_least = 0 then sec.refuse_input(p_name || ' must be <= ' || p_most || ' characters')
    else sec.refuse_input(p_name || ' must be between ' || p_least || ' and ' || p_most || ' characters')
  end
$$;
comment on function sec.valid_text(text, text, int, int, boolean, text) is
'The text without blanks around it, if it has from p_least to p_most characters. Raises input_valid.';

create or replace function sec.valid_pattern(
  p_value text, p_pattern text, p_message text, p_optional boolean default false
)
returns text
language sql volatile
as $$
  select case
    when btrim(p_value, sec.blanks()) ~ p_pattern or p_value is null and p_optional then btrim(p_value, sec.blanks())
    else sec.refuse_input(p_message)
  end
$$;
comment on function sec.valid_pattern(text, text, text, boolean) is
'The text without blanks around it, if it matches a pattern that is anchored at both ends. Raises input_valid.';

create or replace function sec.valid_link(p_name text, p_value text, p_local boolean default false) returns text
language plpgsql stable
as $$
declare
  -- As in src/domain/links.py, which says why.
  v_label constant text := '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
  v_link text := lower(btrim(p_value, sec.blanks()));
  v_host text := substring(v_link from '^https?://([^/?#:]*)');
begin
  if v_link !~ '^https?://[^/?#[:space:]]' or v_link is null then
    perform sec.refuse_input(p_name || ' must be an http or https link');
  elsif v_link !~ '^https?://[a-z0-9.-]+(:[0-9]{1,5})?([/?#][!-~]*)?$' or position(chr(92) in v_link) > 0
    or not (p_local and v_host ~ '^(127[.]0[.]0[.]1|[a-z][a-z0-9-]*)$') and (
      length(v_host) > 253
      or v_host !~ ('^(' || v_label || '[.])+([a-z]{2,63}|xn--' || v_label || ')$')
      or v_host ~ '(^|[.])(localhost|localdomain|local|internal|intranet|private|corp|'
        'home|mail|lan|arpa|onion|alt|test|invalid)$'
    ) then
    perform sec.refuse_input(p_name || ' must lead to a public host, without credentials');
  end if;
  p_value := btrim(p_value, sec.blanks());
  return lower(split_part(p_value, ':', 1)) || substring(p_value from ':.*');
end;
$$;
comment on function sec.valid_link(text, text, boolean) is
'An http(s) address of visible ASCII without credentials, to a public host; p_local: or to one that is near. Raises '
'input_valid.';

create or replace function sec.valid_choice(
  p_name text, p_value text, p_choices text[], p_optional boolean default false, p_message text default null
) returns text
language sql volatile
as $$
  select case
    when btrim(p_value, sec.blanks()) = any (p_choices) or p_value is null and p_optional
      then btrim(p_value, sec.blanks())
    else sec.refuse_input(coalesce(p_message, p_name || ' must be ' || array_to_string(p_choices, '|')))
  end
$$;
comment on function sec.valid_choice(text, text, text[], boolean, text) is
'The text, if it is one of these. Raises input_valid.';

create or replace function sec.valid_currency(p_name text, p_value text, p_optional boolean default false) returns text
language sql volatile
as $$ select sec.valid_choice(p_name, upper(p_value), array['USD', 'EUR', 'RWF'], p_optional) $$;
comment on function sec.valid_currency(text, text, boolean) is 'A currency''s code in capitals. Raises input_valid.';

create or replace function sec.valid_integer(
  p_name text, p_value bigint, p_least bigint, p_most bigint, p_optional boolean default false,
  p_message text default null
) returns bigint
language sql volatile
as $$
  select case
    when p_value between p_least and p_most or p_value is null and p_optional then p_value
    else sec.refuse_input(
      coalesce(p_message, p_name || ' must be an integer from ' || p_least || ' to ' || p_most)
    )::bigint
  end
$$;
comment on function sec.valid_integer(text, bigint, bigint, bigint, boolean, text) is
'The number, if it lies within the bounds, both included. Raises input_valid.';

create or replace function sec.valid_number(
  p_name text, p_value double precision, p_least double precision, p_most double precision
) returns double precision
language sql volatile
as $$
  select case
    when p_value between p_least and p_most then p_value
    else sec.refuse_input(p_name || ' must be a number from ' || p_least || ' to ' || p_most)::double precision
  end
$$;
comment on function sec.valid_number(text, double precision, double precision, double precision) is
'The number, if it lies within the bounds, both included. Raises input_valid.';

create or replace function sec.valid_amount(p_name text, p_value bigint, p_optional boolean default false)
returns bigint
language sql volatile
as $$
  select sec.valid_integer(p_name, p_value, 1, 1000000000000, p_optional, p_name || ' must be a positive integer')
$$;
comment on function sec.valid_amount(text, bigint, boolean) is 'An amount of money in minor units. Raises input_valid.';

create or replace function sec.valid_date(
  p_name text, p_value date, p_optional boolean default false, p_message text default null
) returns date
language sql volatile
as $$
  select case
    when p_value between date '0001-01-01' and date '9999-12-31' or p_value is null and p_optional then p_value
    else sec.refuse_input(coalesce(p_message, p_name || ' must be YYYY-MM-DD'))::date
  end
$$;
comment on function sec.valid_date(text, date, boolean, text) is
'A day with a year of four digits, which neither infinity has. Raises input_valid.';

create or replace function sec.valid_time(p_name text, p_value timestamptz, p_optional boolean default false)
returns timestamptz
language sql volatile
as $$
  select case
    when p_value >= timestamptz '0001-01-02 00:00:00+00' and p_value < timestamptz '9999-12-31 00:00:00+00'
      or p_value is null and p_optional then p_value
    else sec.refuse_input(p_name || ' must be an ISO 8601 time with a zone')::timestamptz
  end
$$;
comment on function sec.valid_time(text, timestamptz, boolean) is
'A time with a year of four digits wherever one lives, which neither infinity has. Raises input_valid.';

create or replace function sec.valid_uuid(p_name text, p_value uuid) returns uuid
language sql volatile
as $$ select coalesce(p_value, sec.refuse_input(p_name || ' must be a valid UUID')::uuid) $$;
comment on function sec.valid_uuid(text, uuid) is 'An id that is given. Raises input_valid.';

create or replace function sec.valid_flag(p_name text, p_value boolean) returns boolean
language sql volatile
as $$ select coalesce(p_value, sec.refuse_input(p_name || ' must be true or false')::boolean) $$;
comment on function sec.valid_flag(text, boolean) is 'A yes or no that is given. Raises input_valid.';

create or replace function sec.valid_json(
  p_name text, p_value jsonb, p_type text, p_most int, p_optional boolean default false
) returns jsonb
language sql volatile
as $$
  select case
    when p_value is null and p_optional then null
    when jsonb_typeof(p_value) is distinct from p_type then
      sec.refuse_input(p_name || ' must be ' || case p_type when 'array' then 'a list' else 'an object' end)::jsonb
    when length(p_value::text) > p_most or jsonb_path_exists(p_value, '$.**{17 to last}') then
      sec.refuse_input(
        p_name || ' must be at most ' || p_most || ' characters of JSON, nested no deeper than 16'
      )::jsonb
    else p_value
  end
$$;
comment on function sec.valid_json(text, jsonb, text, int, boolean) is
'JSON of this type (object or array), of at most p_most characters and 16 levels. Raises input_valid.';
