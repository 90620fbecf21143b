-- Places by what was typed as it stands: ranks 7 to 4 (sql/functions/search.sql).

create or replace function catalog.terms_beginning(p_typed text, p_most int) returns setof int
language plpgsql stable
as $$
begin
  -- Under row security the planner does not know that the first column is constant, so the order includes it.
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
      select id from catalog.terms where term >= p_typed and term < p_typed || chr(1114111) order by popularity desc
        limit p_most;
  end case;
end;
$$;
comment on function catalog.terms_beginning(text, int) is 'The most popular terms that begin with a text.';

create or replace function catalog.hits_as_typed(p_typed text, p_most int) returns setof catalog.hit
language sql stable
as $$
  select p.place_id, (case p.kind when 0 then 7 when 1 then 6 else 4 end)::smallint, p.popularity
  from catalog.terms t
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p
  where t.term = p_typed
  union all
  select p.place_id, (case p.kind when 2 then 4 else 5 end)::smallint, p.popularity
  from catalog.terms_beginning(p_typed, 60) as t (id)
  cross join generate_series(0, 2) as k (kind)
  cross join lateral (
    select * from catalog.postings p where p.term_id = t.id and p.kind = k.kind order by p.popularity desc limit p_most
  ) p
$$;
comment on function catalog.hits_as_typed(text, int) is
'Places with a name, or a word of one, that is or begins with what was typed.';

create or replace function catalog.hits_of_words(p_words text[], p_most int) returns setof catalog.hit
language plpgsql stable
as $$
declare
  v_query tsquery := ('''' || array_to_string(p_words, ''' & ''') || ''':*')::tsquery;
  -- One or two letters begin too many words, so they only filter what the other words found.
  v_lookup tsquery := case when length(p_words[cardinality(p_words)]) > 2 then v_query
    else ('''' || array_to_string(trim_array(p_words, 1), ''' & ''') || '''')::tsquery end;
begin
  return query
  with found as materialized (select id, popularity, words from catalog.search_index where words @@ v_lookup limit 2000)
  select id, 4::smallint, popularity from found where words @@ v_query order by popularity desc limit p_most;
end;
$$;
comment on function catalog.hits_of_words(text[], int) is
'Places that hold every word, in any order, the last one perhaps unfinished.';
