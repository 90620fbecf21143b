-- Search over catalog.search_index. A hit's rank is its tier and then its popularity, in thousandths: 7 exact title, 6
-- exact keyword, 5 a name begins so, 4 every word found, 2 one typo (with a bonus for what is likelier, so up to 3.8),
-- 1 two typos. Below: search_typed.sql, search_typos.sql, and search_index.sql, which keeps what they look in.

create or replace function catalog.hits_with_typo(p_typed text, p_terms int, p_most int)
returns table (place_id int, rank int, meant text[])
language sql stable
as $$
  select p.place_id, 2000 + p.popularity + catalog.typo_bonus(
      p_typed, slips, t.term, case p.kind when 2 then 2 else t.tier end::smallint
    ) + case p.kind when 0 then 200 when 1 then 100 else 0 end,
    -- For a name with this beginning: the words that the query reaches.
    array[p_typed, case t.tier when 3 then t.term
      else left(t.term, length(p_typed) - 1) || split_part(substr(t.term, length(p_typed)), ' ', 1) end]
  from catalog.slip_patterns(p_typed) as slips
  cross join catalog.terms_with_typo(p_typed, p_terms) t
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p
$$;
comment on function catalog.hits_with_typo(text, int, int) is
'Places with a name that what was typed is but for one typo, or begins. The title counts 100 more than
another name, and that 100 more than a single word.';

create or replace function catalog.hits_of_words_with_typo(p_words text[], p_terms int, p_most int)
returns table (place_id int, rank int, meant text[])
language plpgsql stable
as $$
declare
  v_query tsquery;
  v_typed text[];
  v_terms text[];
begin
  with spellings as materialized (
    select place, word, t.term
    from unnest(p_words) with ordinality as words (word, place)
    left join lateral (
      select term from catalog.terms_with_typo(word, p_terms)
      where length(word) >= 5 and strpos(term, ' ') = 0 and (tier = 3 or place = cardinality(p_words))
    ) t on true
  )
  select
    (
      select string_agg(format('(''%s''%s%s)', word, case when place = cardinality(p_words) then ':*' end, others), '&')
      from (
        select word, place, string_agg(format('|''%s''', term), '') filter (where term is not null) as others
        from spellings group by word, place
      ) as words
    )::tsquery,
    array_agg(word), array_agg(term)
  into v_query, v_typed, v_terms
  from spellings;
  return query
  with found as materialized (select id, popularity, words from catalog.search_index where words @@ v_query limit 2000),
  best as materialized (
    select id, popularity, tsvector_to_array(words) as held from found order by popularity desc limit p_most
  )
  select id, 2000 + popularity, case when term is not null then array[typed, term] end
  from best left join unnest(v_typed, v_terms) as spellings (typed, term) on term = any (held);
end;
$$;
comment on function catalog.hits_of_words_with_typo(text[], int, int) is
'Places that hold every word, in any order, each word of five letters and more perhaps with a typo.';

create or replace function catalog.hits_with_two_typos(p_typed text, p_terms int, p_most int)
returns table (place_id int, rank int, meant text[])
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
    where length(term) >= 7 and term operator(ext.%) p_typed
      and length(term) between length(p_typed) - 2 and length(p_typed) + 2
    order by ext.similarity(term, p_typed) desc, popularity desc
    limit p_terms
  )
  select p.place_id, 1000 + p.popularity, array[p_typed, a.term]
  from alike a
  join catalog.postings p on p.term_id = a.id
  where catalog.edits(p_typed, a.term) <= 2
  order by p.popularity desc
  limit p_most;
end;
$$;
comment on function catalog.hits_with_two_typos(text, int, int) is
'Places with a name or word that two typos part from what was typed.';

create or replace function catalog.hits(p_typed text, p_words text[], p_most int)
returns table (place_id int, rank int, meant text[])
language plpgsql volatile
as $$
declare
  v_hits catalog.hit[];
begin
  if p_typed = '' then
    return;
  end if;
  -- Looser matches rank lower, so they are searched only while places are missing.
  v_hits := array(select h from catalog.hits_as_typed(p_typed, p_most) h);
  if cardinality(p_words) > 1 and (select count(distinct h.place_id) from unnest(v_hits) h) < p_most then
    v_hits := v_hits || array(select h from catalog.hits_of_words(p_words, p_most) h);
  end if;
  return query select h.place_id, h.tier * 1000 + h.popularity, null::text[] from unnest(v_hits) h;
  -- A whole name has no typo.
  if length(p_typed) >= 5
    and (select count(distinct h.place_id) < p_most and coalesce(max(h.tier), 0) < 6 from unnest(v_hits) h) then
    return query select * from catalog.hits_with_typo(p_typed, 40, p_most);
  end if;
  if found or cardinality(v_hits) > 0 then
    return;
  end if;
  if length(p_typed) >= 5 and cardinality(p_words) > 1 then
    return query select * from catalog.hits_of_words_with_typo(p_words, 60, p_most);
  end if;
  if length(p_typed) >= 9 and not found then
    return query select * from catalog.hits_with_two_typos(p_typed, 30, p_most);
  end if;
end;
$$;
comment on function catalog.hits(text, text[], int) is
'The places that match a folded text, some more than once. One typo is forgiven from five letters, two from nine; '
'meant says
what was typed so, and for which words of the place.';

create or replace function public.search_places(p_query text, p_limit int default 5) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_typed text;
  v_found json;
begin
  p_query := sec.valid_text('query', p_query, 0, 120);
  p_limit := sec.valid_integer('limit', p_limit, 1, 12);
  -- One letter folds to eighteen at most, so longer queries cannot match.
  v_typed := left(catalog.fold(p_query), 240);
  select json_agg(place order by score desc, slug) into v_found
  from (
    select p.slug, p.entity_type, p.entity_id, p.title, p.subtitle, p.keywords, p.metadata, best.rank / 1000.0 as score,
      coalesce(best.meant, '{}') as meant
    from (
      select place_id, max(rank) as rank, array_agg(meant) filter (where meant is not null) as meant
      from catalog.hits(v_typed, string_to_array(v_typed, ' '), p_limit) group by place_id order by rank desc
      fetch first p_limit rows with ties
    ) best
    join catalog.search_index p on p.id = best.place_id
    order by score desc, p.slug
    limit p_limit
  ) place;
  if v_found is not null then
    return json_build_object('found', true, 'places', v_found);
  end if;
  -- Nothing matches, so the most popular places are returned; an empty index has none.
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
'Any caller: the best places for what was typed, else (found false) the most popular ones. meant pairs what was typed '
'with a
typo and the words of the place that it stands for, all folded.';

create or replace function public.locate_place(p_name text) returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_name text;
begin
  p_name := sec.valid_text('city', p_name, 1, 120);
  -- Computed once, not for every term.
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
    where jsonb_typeof(place) <> 'object'
      or num_nulls(place ->> 'slug', place ->> 'entity_type', place ->> 'entity_id', place ->> 'title') > 0
  ) then
    perform sec.refuse_input('each place must be an object with slug, entity_type, entity_id and title');
  end if;
  insert into catalog.search_index (slug, entity_type, entity_id, title, subtitle, keywords, metadata, popularity)
  select slug, entity_type, entity_id, title, subtitle, coalesce(keywords, '{}'), coalesce(metadata, '{}'),
    coalesce(popularity, 0)
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
