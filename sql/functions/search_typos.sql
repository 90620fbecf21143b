-- What counts as a typo, and the terms that one parts from what was typed (sql/functions/search.sql ranks the places of
-- these).

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
comment on function catalog.typo_lookups(text) is
'The keys of catalog.typo_keys() that one typo away from the typed text can have.';

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
  -- The typo is at the first differing letters.
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
comment on function catalog.edits(text, text) is
'How many letters to change, add, leave out or swap with a neighbour to get from one to the other.';

create or replace function catalog.slip_patterns(p_typed text) returns text[]
language sql immutable
as $$
  select array_agg(distinct pattern || '%')
  from generate_series(1, length(p_typed)) as letters (at)
  cross join lateral (values
    (left(p_typed, at - 1) || '_' || substr(p_typed, at)),
    (left(p_typed, at - 1) || substr(p_typed, at + 1, 1) || substr(p_typed, at, 1) || substr(p_typed, at + 2))
  ) as patterns (pattern)
$$;
comment on function catalog.slip_patterns(text) is
'Patterns (like) of terms of which, or of whose beginning, one letter was left out or two neighbours were swapped.';

create or replace function catalog.one_typo_away(p_typed text) returns text[]
language sql immutable
as $$
  select array_agg(distinct pattern)
  from generate_series(1, length(p_typed) + 1) as letters (at)
  cross join lateral (values
    (left(p_typed, at - 1) || '_' || substr(p_typed, at + 1)),
    (left(p_typed, at - 1) || '_' || substr(p_typed, at)),
    (left(p_typed, at - 1) || substr(p_typed, at + 1)),
    (left(p_typed, at - 1) || substr(p_typed, at + 1, 1) || substr(p_typed, at, 1) || substr(p_typed, at + 2))
  ) as patterns (pattern)
$$;
comment on function catalog.one_typo_away(text) is
'Patterns (like) of the whole terms that one letter wrong, missing, too many or swapped parts from a folded text.';

create or replace function catalog.typo_bonus(p_typed text, p_slips text[], p_term text, p_tier smallint) returns int
language sql immutable
as $$
  select case when left(p_term, 1) = left(p_typed, 1) then 300 else 0 end
    + case when p_tier = 3 then 200 else 0 end
    + case when p_term like any (p_slips) then 150 else 0 end
$$;
comment on function catalog.typo_bonus(text, text[], text, smallint) is
'How much likelier a term was meant, as popularity: few mistype the first letter, a whole name is nearer than a '
'beginning, and
of all letters that could be wrong or too many the one typed is only one, while a slip has no choice.';

create or replace function catalog.terms_with_typo(p_typed text, p_most int)
returns table (id int, term text, tier smallint)
language sql stable
as $$
  with typed as materialized (
    -- What follows the eighth letter, in two halves: one typo leaves one of them whole.
    select length(p_typed) as size, substr(p_typed, 9, greatest(length(p_typed) - 7, 0) / 2) as near,
      substr(p_typed, 9 + greatest(length(p_typed) - 7, 0) / 2) as far, catalog.slip_patterns(p_typed) as slips,
      catalog.one_typo_away(p_typed) as wholes
  ),
  alike as materialized (
    select t.id, t.term, t.popularity, size, slips, wholes
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
      when size > 8 then catalog.typo_tier(p_typed, alike.term)
      when length(alike.term) between size - 1 and size + 1 and alike.term like any (wholes) then 3
      else 2
    end::smallint as tier
  ) judged
  where judged.tier is not null
  order by popularity + catalog.typo_bonus(p_typed, slips, alike.term, judged.tier) desc
  limit p_most
$$;
comment on function catalog.terms_with_typo(text, int) is
'The terms, or beginnings of terms, that one typo parts from the typed text; the likeliest first.';
