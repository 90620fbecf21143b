-- Search over catalog.search_index (API.md section 9). A hit's tier says how it was found, and sorts before popularity:
-- 7 exact title, 6 exact keyword, 5 a name begins so, 4 every word found, 3 one typo in a whole name, 2 one typo in a
-- beginning or in single words, 1 two typos. domain/search.py ranks the fixtures by the same tiers.

create or replace function catalog.typo_lookups(p_typed text) returns bigint[]
language plpgsql immutable
as $$
declare
  v_eight text := left(p_typed, 8);
  v_nine text := left(p_typed, 9);
  v_keys bigint[] := array[]::bigint[];
begin
  for gone in 1 .. length(v_eight) loop
    v_keys := v_keys
      -- one letter wrong, or swapped with the one before it
      || hashtextextended(left(v_eight, gone - 1) || substr(v_eight, gone + 1), gone)
      || hashtextextended(left(v_eight, gone - 1) || substr(v_eight, gone + 1), gone - 1)
      -- one letter missing
      || hashtextextended(left(p_typed, 7), gone);
  end loop;
  for gone in 1 .. length(v_nine) loop
    -- one letter too many
    v_keys := v_keys || hashtextextended(left(v_nine, gone - 1) || substr(v_nine, gone + 1), 0);
  end loop;
  -- one letter missing at the end of a short text; a typo that comes later in a long one
  return v_keys || hashtextextended(left(p_typed, 7), length(p_typed) + 1) || hashtextextended(v_eight, 0);
end;
$$;
comment on function catalog.typo_lookups(text) is 'The keys of catalog.typo_keys() that one typo away from the typed text can have.';

create or replace function catalog.typo_tier(p_typed text, p_term text) returns smallint
language plpgsql immutable
as $$
declare
  v_same int := 0;
  v_typed text;
  v_term text;
begin
  while v_same < length(p_typed) and substr(p_typed, v_same + 1, 1) = substr(p_term, v_same + 1, 1) loop
    v_same := v_same + 1;
  end loop;
  -- The first letters that differ are where the one typo must be.
  v_typed := substr(p_typed, v_same + 1);
  v_term := substr(p_term, v_same + 1);
  return case
    when v_typed = v_term or substr(v_typed, 2) in (v_term, substr(v_term, 2)) or v_typed = substr(v_term, 2)
      or (v_typed = reverse(left(v_term, 2)) || substr(v_term, 3)) then 3
    when v_typed = '' or starts_with(v_term, substr(v_typed, 2)) or starts_with(substr(v_term, 2), substr(v_typed, 2))
      or starts_with(substr(v_term, 2), v_typed)
      or (left(v_typed, 2) = reverse(left(v_term, 2)) and starts_with(substr(v_term, 3), substr(v_typed, 3))) then 2
  end;
end;
$$;
comment on function catalog.typo_tier(text, text) is
'3 when at most one typo parts the typed text from the term, 2 when it parts it from the term''s beginning, else null.';

create or replace function catalog.edits(p_one text, p_other text) returns int
language plpgsql immutable
as $$
declare
  v_before int[];
  v_last int[];
  v_row int[] := array(select generate_series(0, length(p_other)));
begin
  for i in 1 .. length(p_one) loop
    v_before := v_last;
    v_last := v_row;
    v_row := array[i];
    for j in 1 .. length(p_other) loop
      v_row[j + 1] := least(
        v_last[j + 1] + 1, v_row[j] + 1,
        v_last[j] + (substr(p_one, i, 1) <> substr(p_other, j, 1))::int,
        case when i > 1 and j > 1 and substr(p_one, i, 1) = substr(p_other, j - 1, 1)
          and substr(p_one, i - 1, 1) = substr(p_other, j, 1) then v_before[j - 1] + 1 end
      );
    end loop;
  end loop;
  return v_row[length(p_other) + 1];
end;
$$;
comment on function catalog.edits(text, text) is 'How many letters to change, add, leave out or swap with a neighbour to get from one to the other.';

create or replace function catalog.terms_beginning(p_typed text, p_most int) returns setof int
language plpgsql stable
as $$
begin
  -- Under row security the planner does not see that the first column is the same for all, so the order names it.
  case length(p_typed)
    when 1 then
      return query
      select id from catalog.terms where left(term, 1) = p_typed order by left(term, 1), popularity desc limit p_most;
    when 2 then
      return query
      select id from catalog.terms where left(term, 2) = p_typed order by left(term, 2), popularity desc limit p_most;
    when 3 then
      return query
      select id from catalog.terms where left(term, 3) = p_typed order by left(term, 3), popularity desc limit p_most;
    else
      return query
      select id from catalog.terms where term >= p_typed and term < p_typed || chr(1114111) order by popularity desc limit p_most;
  end case;
end;
$$;
comment on function catalog.terms_beginning(text, int) is 'The most popular terms that begin with a text.';

create or replace function catalog.terms_with_typo(p_typed text, p_most int) returns table (id int, term text, tier smallint)
language sql stable
as $$
  with typed as materialized (
    -- What follows the eighth letter, in two halves: one typo leaves one of them whole.
    select length(p_typed) as size, substr(p_typed, 9, greatest(length(p_typed) - 7, 0) / 2) as near,
      substr(p_typed, 9 + greatest(length(p_typed) - 7, 0) / 2) as far
  ),
  alike as materialized (
    select t.id, t.term, t.popularity, size
    from typed
    cross join catalog.terms t
    where p_typed ~ '^[ -~]{5,}$' and catalog.typo_keys(t.term) && catalog.typo_lookups(p_typed)
      and (size <= 8 or starts_with(substr(t.term, 9), near) or strpos(substr(t.term, 8 + length(near)), far) > 0)
  )
  select alike.id, alike.term, judged.tier
  from alike
  cross join lateral (
    -- Up to eight letters the keys themselves have judged all but whether the term ends there.
    select case
      when size > 8 or length(alike.term) between size - 1 and size + 1 then catalog.typo_tier(p_typed, alike.term)
      else 2::smallint
    end as tier
  ) judged
  where judged.tier is not null
  order by judged.tier desc, popularity desc
  limit p_most
$$;
comment on function catalog.terms_with_typo(text, int) is 'The terms, or beginnings of terms, that one typo parts from the typed text.';

create or replace function catalog.hits_as_typed(p_typed text, p_words text[], p_most int) returns setof catalog.hit
language plpgsql stable
as $$
declare
  v_query tsquery;
  v_lookup tsquery;
begin
  return query
  select p.place_id, (case p.kind when 0 then 7 when 1 then 6 else 4 end)::smallint, p.popularity
  from catalog.terms t
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p
  where t.term = p_typed;
  return query
  select p.place_id, (case p.kind when 2 then 4 else 5 end)::smallint, p.popularity
  from catalog.terms_beginning(p_typed, 60) as t (id)
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p;
  if cardinality(p_words) > 1 then
    v_query := ('''' || array_to_string(p_words, ''' & ''') || ''':*')::tsquery;
    -- One or two letters begin too many words to look them all up: the other words find, these only sift.
    v_lookup := case when length(p_words[cardinality(p_words)]) > 2 then v_query
      else ('''' || array_to_string(trim_array(p_words, 1), ''' & ''') || '''')::tsquery end;
    return query
    with found as materialized (select id, popularity, words from catalog.search_index where words @@ v_lookup limit 2000)
    select id, 4::smallint, popularity from found where words @@ v_query order by popularity desc limit p_most;
  end if;
end;
$$;
comment on function catalog.hits_as_typed(text, text[], int) is 'Places that hold what was typed: tiers 7 to 4.';

create or replace function catalog.hits_with_typo(p_typed text, p_words text[], p_most int) returns setof catalog.hit
language plpgsql stable
as $$
declare
  v_words tsquery;
begin
  return query
  select p.place_id, (case p.kind when 2 then 2 else t.tier end)::smallint, p.popularity
  from catalog.terms_with_typo(p_typed, 60) t
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p;
  if cardinality(p_words) > 1 then
    select string_agg(
      format('(''%s''%s%s)', word, case when place = cardinality(p_words) then ':*' end, (
        select string_agg(format('|''%s''', term), '') from catalog.terms_with_typo(word, 60)
        where length(word) >= 5 and strpos(term, ' ') = 0 and (tier = 3 or place = cardinality(p_words))
      )), '&'
    )::tsquery into v_words
    from unnest(p_words) with ordinality as words (word, place);
    return query
    with found as materialized (select id, popularity from catalog.search_index where words @@ v_words limit 2000)
    select id, 2::smallint, popularity from found order by popularity desc limit p_most;
  end if;
end;
$$;
comment on function catalog.hits_with_typo(text, text[], int) is
'Places that hold what was typed but for one typo, or one in each word of five letters and more: tiers 3 and 2.';

create or replace function catalog.hits_with_two_typos(p_typed text, p_most int) returns setof catalog.hit
language plpgsql volatile
as $$
begin
  if to_regclass('catalog.terms_by_trigram') is null then
    return;
  end if;
  perform set_config('pg_trgm.similarity_threshold', '0.2', true);
  return query
  with alike as materialized (
    select id, term, popularity from catalog.terms
    where length(term) >= 7 and term operator(catalog.%) p_typed
      and length(term) between length(p_typed) - 2 and length(p_typed) + 2
    order by catalog.similarity(term, p_typed) desc, popularity desc
    limit 30
  )
  select p.place_id, 1::smallint, p.popularity
  from alike a
  join catalog.postings p on p.term_id = a.id
  where catalog.edits(p_typed, a.term) <= 2
  order by p.popularity desc
  limit p_most;
end;
$$;
comment on function catalog.hits_with_two_typos(text, int) is 'Places with a name or word that two typos part from what was typed: tier 1.';

create or replace function catalog.hits(p_typed text, p_most int) returns setof catalog.hit
language plpgsql volatile
as $$
declare
  v_words text[] := string_to_array(p_typed, ' ');
  v_hits catalog.hit[];
begin
  if p_typed = '' then
    return;
  end if;
  v_hits := array(select h from catalog.hits_as_typed(p_typed, v_words, p_most) h);
  -- Ranks never mix, so a worse kind of match is looked for only while places are left to fill.
  if length(p_typed) >= 5 and (select count(distinct place_id) from unnest(v_hits)) < p_most then
    v_hits := v_hits || array(select h from catalog.hits_with_typo(p_typed, v_words, p_most) h);
  end if;
  if length(p_typed) >= 9 and cardinality(v_hits) = 0 then
    v_hits := array(select h from catalog.hits_with_two_typos(p_typed, p_most) h);
  end if;
  return query select place_id, max(tier), popularity from unnest(v_hits) group by place_id, popularity;
end;
$$;
comment on function catalog.hits(text, int) is
'The places that match a folded text, each with its best tier. One typo is forgiven from five letters, two from nine.';

create or replace function public.search_places(p_query text, p_limit int default 5) returns json
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_found json;
begin
  select json_agg(place order by score desc, slug) into v_found
  from (
    select p.slug, p.entity_type, p.entity_id, p.title, p.subtitle, p.keywords, p.metadata,
      best.tier + best.popularity / 1000.0 as score
    from (
      select * from catalog.hits(catalog.fold(p_query), p_limit) order by tier desc, popularity desc
      fetch first p_limit rows with ties
    ) best
    join catalog.search_index p on p.id = best.place_id
    order by score desc, p.slug
    limit p_limit
  ) place;
  if v_found is not null then
    return json_build_object('found', true, 'places', v_found);
  end if;
  -- Nothing fits: what most people look for. An empty index has no places at all.
  select json_agg(place order by score desc, slug) into v_found
  from (
    select slug, entity_type, entity_id, title, subtitle, keywords, metadata, popularity / 1000.0 as score
    from catalog.search_index
    order by popularity desc, slug
    limit p_limit
  ) place;
  return json_build_object('found', false, 'places', coalesce(v_found, '[]'));
end;
$$;
comment on function public.search_places(text, int) is
'Any caller: the best places for what was typed, else (found false) the most popular ones (API.md section 9).';

create or replace function public.locate_place(p_name text) returns json
language sql stable security definer set search_path = pg_catalog
as $$
  select coalesce((
    select json_build_object(
      'slug', p.slug, 'entity_type', p.entity_type, 'entity_id', p.entity_id, 'title', p.title, 'metadata', p.metadata
    )
    from catalog.terms t
    join catalog.postings o on o.term_id = t.id and o.kind in (0, 1)
    join catalog.search_index p on p.id = o.place_id
    where t.term = catalog.fold(p_name) and p.metadata ? 'latitude'
    order by o.kind, o.popularity desc, p.slug
    limit 1
  ), 'null')
$$;
comment on function public.locate_place(text) is
'Any caller: the place of this very name or keyword, null when there is none or nobody knows where it lies.';

create or replace function public.populate_search_index(p_places jsonb) returns json
language plpgsql volatile security definer set search_path = pg_catalog
as $$
declare
  v_seeded int;
begin
  insert into catalog.search_index (slug, entity_type, entity_id, title, subtitle, keywords, metadata, popularity)
  select slug, entity_type, entity_id, title, subtitle, coalesce(keywords, '{}'), coalesce(metadata, '{}'), coalesce(popularity, 0)
  from jsonb_populate_recordset(null::catalog.search_index, p_places)
  on conflict (slug) do update set
    (entity_type, entity_id, title, subtitle, keywords, metadata, popularity, updated_at) = (
      excluded.entity_type, excluded.entity_id, excluded.title, excluded.subtitle, excluded.keywords, excluded.metadata,
      excluded.popularity, now()
    );
  get diagnostics v_seeded = row_count;
  perform audit.record('search.populated', jsonb_build_object('seeded', v_seeded));
  return json_build_object('ok', true, 'request_id', sec.request_id(), 'requestId', sec.request_id(),
    'seeded', v_seeded, 'source', 'fixtures', 'fallback', false);
end;
$$;
comment on function public.populate_search_index(jsonb) is
'Service: adds places, or brings those of the same slug up to date; others stay as they are.';

create or replace function catalog.index_places(p_places int[]) returns void
language plpgsql volatile
as $$
declare
  v_touched int[];
begin
  -- One writer at a time, because places share their terms.
  perform pg_advisory_xact_lock(hashtextextended('catalog.terms', 0));
  with gone as (delete from catalog.postings where place_id = any (p_places) returning term_id)
  select array_agg(distinct term_id) into v_touched from gone;
  with names as materialized (
    select id as place_id, popularity, catalog.fold(name) as term, (ordinal > 1)::int as kind
    from catalog.search_index
    cross join unnest(array[title] || keywords) with ordinality as named (name, ordinal)
    where id = any (p_places)
  ),
  held as materialized (
    select place_id, popularity, term, min(kind) as kind
    from (
      select * from names
      union all
      select place_id, popularity, word, 2 from names cross join string_to_table(term, ' ') as words (word)
    ) all_terms
    where term <> ''
    group by place_id, popularity, term
  ),
  known as (
    insert into catalog.terms (term, popularity)
    select term, max(popularity) from held group by term order by term
    on conflict (term) do update set popularity = greatest(catalog.terms.popularity, excluded.popularity)
    returning id, term
  )
  insert into catalog.postings (term_id, place_id, kind, popularity)
  select known.id, place_id, kind, popularity from held join known using (term);
  if v_touched is not null then
    update catalog.terms t set popularity = best.popularity
    from (
      select term_id, max(popularity) as popularity from catalog.postings where term_id = any (v_touched) group by term_id
    ) best
    where t.id = best.term_id and t.popularity <> best.popularity;
    delete from catalog.terms t
    where id = any (v_touched) and not exists (select from catalog.postings where term_id = t.id);
  end if;
end;
$$;
comment on function catalog.index_places(int[]) is 'Makes the terms of these places anew, and removes those that no place holds any more.';

create or replace function catalog.index_touched_places() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog
as $$
begin
  perform catalog.index_places(array(select id from touched order by id));
  return null;
end;
$$;
comment on function catalog.index_touched_places() is 'Trigger: what changed in the index can be found by its new words at once.';

create or replace trigger index_after_insert after insert on catalog.search_index
referencing new table as touched for each statement execute function catalog.index_touched_places();
create or replace trigger index_after_update after update on catalog.search_index
referencing new table as touched for each statement execute function catalog.index_touched_places();
create or replace trigger index_after_delete after delete on catalog.search_index
referencing old table as touched for each statement execute function catalog.index_touched_places();
