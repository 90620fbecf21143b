-- Search over catalog.search_index. A hit's rank is its tier and then its popularity, in thousandths:
-- 7 exact title, 6 exact keyword, 5 a name begins so, 4 every word found, 2 one typo (with a bonus for what is likelier,
-- so up to 3.8), 1 two typos. domain/search_ranking.py ranks the fixtures alike. Below: search_typed.sql, search_typos.sql,
-- and search_index.sql, which keeps what they look in.

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
  -- A looser kind of match ranks below, so it is looked for only while places are left to fill.
  v_hits := array(select h from catalog.hits_as_typed(p_typed, p_most) h);
  if cardinality(v_words) > 1 and (select count(distinct place_id) from unnest(v_hits)) < p_most then
    v_hits := v_hits || array(select h from catalog.hits_of_words(v_words, p_most) h);
  end if;
  -- Who typed a whole name made no typo.
  if length(p_typed) >= 5 and (select count(distinct place_id) < p_most and coalesce(max(tier), 0) < 6 from unnest(v_hits)) then
    v_hits := v_hits || array(select h from catalog.hits_with_typo(p_typed, p_most) h);
  end if;
  if length(p_typed) >= 5 and cardinality(v_words) > 1 and cardinality(v_hits) = 0 then
    v_hits := array(select h from catalog.hits_of_words_with_typo(v_words, p_most) h);
  end if;
  if length(p_typed) >= 9 and cardinality(v_hits) = 0 then
    v_hits := array(select h from catalog.hits_with_two_typos(p_typed, p_most) h);
  end if;
  return query select * from unnest(v_hits);
end;
$$;
comment on function catalog.hits(text, int) is
'The places that match a folded text, some more than once. One typo is forgiven from five letters, two from nine.';

create or replace function public.search_places(p_query text, p_limit int default 5) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_found json;
begin
  p_query := sec.valid_text('query', p_query, 0, 120);
  p_limit := sec.valid_integer('limit', p_limit, 1, 12);
  select json_agg(place order by score desc, slug) into v_found
  from (
    select p.slug, p.entity_type, p.entity_id, p.title, p.subtitle, p.keywords, p.metadata, best.rank / 1000.0 as score
    from (
      -- One letter may fold to eighteen, as one of Arabic does; no word is so long.
      select place_id, max(tier * 1000 + popularity) as rank
      from catalog.hits(left(catalog.fold(p_query), 240), p_limit) group by place_id order by rank desc
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
'Any caller: the best places for what was typed, else (found false) the most popular ones.';

create or replace function public.locate_place(p_name text) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  p_name := sec.valid_text('city', p_name, 1, 120);
  -- Once, not for every term that it is compared with.
  v_name := catalog.fold(p_name);
  return coalesce((
    select json_build_object(
      'slug', p.slug, 'entity_type', p.entity_type, 'entity_id', p.entity_id, 'title', p.title, 'metadata', p.metadata
    )
    from catalog.terms t
    join catalog.postings o on o.term_id = t.id and o.kind in (0, 1)
    join catalog.search_index p on p.id = o.place_id
    where t.term = v_name and p.metadata ? 'latitude'
    order by o.kind, o.popularity desc, p.slug
    limit 1
  ), 'null');
end;
$$;
comment on function public.locate_place(text) is
'Any caller: the place of this very name or keyword, null when there is none or nobody knows where it lies.';

create or replace function public.populate_search_index(p_places jsonb) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_seeded int;
begin
  perform sec.require_service();
  p_places := sec.valid_json('places', p_places, 'array', 16000000);
  if exists (
    select from jsonb_array_elements(p_places) place
    where jsonb_typeof(place) <> 'object' or num_nulls(place ->> 'slug', place ->> 'entity_type', place ->> 'entity_id', place ->> 'title') > 0
  ) then
    perform sec.refuse_input('each place must be an object with slug, entity_type, entity_id and title');
  end if;
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
