-- The vocabulary of catalog.search_index (terms and postings), kept by triggers.

create or replace function catalog.index_places(p_places int[]) returns void
language plpgsql volatile
as $$
declare
  v_touched int[];
begin
  -- One writer at a time, because places share their terms. An advisory lock could be held by any login.
  lock table catalog.terms in share row exclusive mode;
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
      select term_id, max(popularity) as popularity from catalog.postings where term_id = any (v_touched)
        group by term_id
    ) best
    where t.id = best.term_id and t.popularity <> best.popularity;
    delete from catalog.terms t
    where id = any (v_touched) and not exists (select from catalog.postings where term_id = t.id);
  end if;
end;
$$;
comment on function catalog.index_places(int[]) is
'Makes the terms of these places anew, and removes those that no place holds any more.';

create or replace function catalog.index_touched_places() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform catalog.index_places(array(select id from touched order by id));
  return null;
end;
$$;
comment on function catalog.index_touched_places() is
'Trigger: what changed in the index can be found by its new words at once.';

create or replace trigger index_after_insert after insert on catalog.search_index
referencing new table as touched for each statement execute function catalog.index_touched_places();
create or replace trigger index_after_update after update on catalog.search_index
referencing new table as touched for each statement execute function catalog.index_touched_places();
create or replace trigger index_after_delete after delete on catalog.search_index
referencing old table as touched for each statement execute function catalog.index_touched_places();
