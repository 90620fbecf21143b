-- Keyed digests (HMAC-SHA-256, RFC 2104) without an extension. The key is PRIVACY_HMAC_SECRET; the service hands it in
-- with each call that needs it, so the database and its backups never hold it.

create or replace function privacy.hmac_pad(p_secret text, p_byte int) returns bytea
language plpgsql immutable
as $$
declare
  v_key bytea := convert_to(p_secret, 'UTF8');
  v_pad bytea := decode(repeat(lpad(to_hex(p_byte), 2, '0'), 64), 'hex');
begin
  if length(v_key) > 64 then
    v_key := sha256(v_key);
  end if;
  for i in 0 .. length(v_key) - 1 loop
    v_pad := set_byte(v_pad, i, get_byte(v_key, i) # p_byte);
  end loop;
  return v_pad;
end;
$$;
comment on function privacy.hmac_pad(text, int) is 'The key of an HMAC''s inner (54) or outer (92) digest.';

create or replace function privacy.hmac(p_secret text, p_text text) returns bytea
language sql immutable
as $$
  select sha256(privacy.hmac_pad(p_secret, 92) || sha256(privacy.hmac_pad(p_secret, 54) || convert_to(p_text, 'UTF8')))
$$;
comment on function privacy.hmac(text, text) is 'HMAC-SHA-256 of a text.';

create or replace function privacy.token(p_secret text, p_text text) returns text
language sql immutable
as $$ select encode(privacy.hmac(p_secret, 'subject:' || p_text), 'hex') $$;
comment on function privacy.token(text, text) is
'What stands in kept rows in place of a person''s id: the same for all their rows.';

create or replace function privacy.uuid_token(p_secret text, p_text text) returns uuid
language sql immutable
as $$
  -- UUID version 8 (RFC 9562), which none of our ids has.
  select overlay(overlay(left(privacy.token(p_secret, p_text), 32) placing '8' from 13) placing 'a' from 17)::uuid
$$;
comment on function privacy.uuid_token(text, text) is 'A token for columns that hold uuids.';

create or replace function privacy.key_id(p_secret text) returns text
language sql immutable
as $$ select left(privacy.token(p_secret, 'key'), 16) $$;
comment on function privacy.key_id(text) is 'What tells one key from another and nothing else of it.';

create or replace function privacy.require_secret(p_secret text) returns void
language plpgsql immutable
as $$
begin
  if coalesce(length(p_secret), 0) < 32 then
    raise exception using
      errcode = 'PT400', constraint = 'privacy_secret_long',
      message = 'The privacy secret must have 32 characters or more';
  end if;
end;
$$;
comment on function privacy.require_secret(text) is 'Raises privacy_secret_long for a key that could be guessed.';

create or replace function privacy.require_service_secret(p_secret text) returns void
language plpgsql stable
as $$
begin
  perform privacy.require_secret(p_secret);
  if exists (select from privacy.service_key where id <> privacy.key_id(p_secret)) then
    raise exception using
      errcode = 'PT409', constraint = 'privacy_secret_ours',
      message = 'The secret is not the service''s PRIVACY_HMAC_SECRET',
      hint = 'After a change of it: ecotrips db apply, in the environment of the service.';
  end if;
end;
$$;
comment on function privacy.require_service_secret(text) is
'Raises privacy_secret_long, and privacy_secret_ours for another key than that of the last ecotrips db apply.';

create or replace function privacy.service_key_id() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select id from privacy.service_key $$;
comment on function privacy.service_key_id() is
'Internal: the privacy.key_id of the secret that erasures are made under; null before the first ecotrips db apply.';

create or replace function privacy.phone_of(p_text text) returns text
language sql immutable
as $$ select nullif(right(regexp_replace(p_text, '[^[:digit:]]', '', 'g'), 9), '') $$;
comment on function privacy.phone_of(text) is
'A telephone number as it is compared: its last nine digits, the same with and without a country''s code.';

create or replace function privacy.name_of(p_words text[]) returns text
language sql immutable
as $$ select string_agg(word, ' ' order by word collate "C") from unnest(p_words) as word $$;
comment on function privacy.name_of(text[]) is
'A name as it is compared: its words in no order, as people write them either way round.';

create or replace function privacy.words_of(p_text text) returns text[]
language sql immutable
as $$
  select array_agg(word)
  from (
    select btrim(word, '.''`_-+') as word
    from regexp_split_to_table(lower(normalize(p_text)), E'[\\s,;:!?()<>"/\\\\|=\\[\\]{}&]+') as word
  ) words
  where word <> ''
$$;
comment on function privacy.words_of(text) is 'The words of a text, in lower case and without punctuation around them.';

create or replace function privacy.identifiers_in(p_text text) returns table (kind text, value text)
language sql immutable
as $$
  with words as (select privacy.words_of(p_text) as list)
  select 'email', word from words, unnest(list) as word where word like '%_@_%'
  union
  select 'phone', privacy.phone_of(found[1])
  from regexp_matches(p_text, '([+]?[[:digit:]][[:digit:][:space:]().-]{5,24}[[:digit:]])', 'g') as found
  union
  select 'name', privacy.name_of(list[first : first + size - 1])
  from words
  cross join generate_series(1, cardinality(list)) as first
  cross join generate_series(1, 4) as size
  where first + size - 1 <= cardinality(list)
$$;
comment on function privacy.identifiers_in(text) is
'Every e-mail address, telephone number and run of up to four words in a text, as they are compared.';
