-- Places that people search for. The functions here are those that stored rows and indexes are made with: to change one
-- means a new migration that makes those rows and indexes anew, so they do not live in functions/.

create function catalog.fold(p_text text) returns text
language sql immutable strict parallel safe
as $$
  select case
    when p_text ~ '^[a-z0-9]+( [a-z0-9]+)*$' then p_text
    else btrim(regexp_replace(
      regexp_replace(
        replace(replace(replace(replace(
          translate(lower(normalize(p_text, nfkd)), 'ςłøđðħıŋĸØŁĐÐĦŊÆŒÞẞ', 'σlodðhinkoldðhnæœþß'),
          'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
        -- Marks of Latin, Greek, Cyrillic, Hebrew and Arabic letters go, apostrophes too ...
        '[\u0300-\u036F\u0483-\u0489\u0591-\u05BD\u064B-\u065F\u0670\u06D6-\u06ED\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF'
          || '\uFE20-\uFE2F''`\u02B9-\u02BF\u2018\u2019]',
        '', 'g'
      ),
      -- ... and other punctuation and space part words.
      '[\u0001-/:-@\[-_{-\u00A9\u00AB-\u00B1\u00B4\u00B6-\u00B8\u00BB\u00BF\u2000-\u206F\u3000-\u3003\u060C]+',
      ' ', 'g'
    ))
  end
$$;
comment on function catalog.fold(text) is
'The words of a text as they are compared: no case, marks, apostrophes or punctuation. The same as fold() in domain/search.py.';

create function catalog.words_of(p_title text, p_subtitle text, p_keywords text[]) returns tsvector
language sql immutable parallel safe
as $$
  select array_to_tsvector(array(
    select distinct word
    from unnest(array[p_title, coalesce(p_subtitle, '')] || p_keywords) as texts (text)
    cross join string_to_table(catalog.fold(text), ' ') as words (word)
    where word <> ''
  ))
$$;
comment on function catalog.words_of(text, text, text[]) is 'Every word of a place, for queries of several words in any order.';

create function catalog.typo_keys(p_term text) returns bigint[]
language sql immutable strict parallel safe
as $$
  select case when p_term ~ '^[ -~]{4,}$' then array(
    select hashtextextended(left(p_term, size), 0) from generate_series(4, least(8, length(p_term))) as sizes (size)
    union all
    select hashtextextended(left(p_term, gone - 1) || substr(left(p_term, size), gone + 1), gone)
    from generate_series(5, least(8, length(p_term))) as sizes (size)
    cross join generate_series(1, size) as letters (gone)
  ) end
$$;
comment on function catalog.typo_keys(text) is
'Hashes of the beginnings (4 to 8 letters) of a term, whole (seed 0) and with one letter left out (seed: which letter).
A word typed with one typo shares a key with what was meant (catalog.typo_lookups); the place of the letter in the key keeps
strangers apart. Only for terms that fold to ASCII.';

create table catalog.search_index (
  id int generated always as identity primary key,
  slug text not null unique check (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
  entity_type text not null check (length(entity_type) between 1 and 32),
  entity_id text not null,
  title text not null check (length(title) between 1 and 200),
  subtitle text,
  keywords text[] not null default '{}',
  metadata jsonb not null default '{}',
  popularity smallint not null default 0 check (popularity between 0 and 999),
  updated_at timestamptz not null default now(),
  words tsvector not null generated always as (catalog.words_of(title, subtitle, keywords)) stored
);
comment on column catalog.search_index.popularity is 'Orders what matches equally well; the greater the sooner.';
create index search_index_by_words on catalog.search_index using gin (words);
create index search_index_by_popularity on catalog.search_index (popularity desc, slug);

-- The vocabulary of the index: every name, and every word of a name, folded. Kept by a trigger (functions/search.sql).
create table catalog.terms (
  id int generated always as identity primary key,
  term text collate "C" not null,
  popularity smallint not null,
  unique (term) include (id, popularity)
);
create index terms_of_one_letter on catalog.terms (left(term, 1), popularity desc);
create index terms_of_two_letters on catalog.terms (left(term, 2), popularity desc);
create index terms_of_three_letters on catalog.terms (left(term, 3), popularity desc);
create index terms_by_typo on catalog.terms using gin (catalog.typo_keys(term));

create table catalog.postings (
  term_id int not null references catalog.terms (id),
  -- Checked at the end, because the trigger that removes a place's postings runs after its row is gone.
  place_id int not null references catalog.search_index (id) deferrable initially deferred,
  kind smallint not null check (kind in (0, 1, 2)),
  popularity smallint not null
);
comment on column catalog.postings.kind is 'What the term is of the place: 0 its title, 1 a keyword, 2 a word of either.';
create unique index postings_best_first on catalog.postings (term_id, kind, popularity desc, place_id);
create index postings_by_place on catalog.postings (place_id);

create type catalog.hit as (place_id int, tier smallint, popularity smallint);

-- Two typos are found by trigrams where the server has them; without, only one typo is forgiven.
do $$
begin
  create extension if not exists pg_trgm with schema catalog;
  create index terms_by_trigram on catalog.terms using gin (term catalog.gin_trgm_ops) where length(term) >= 7;
exception
  when feature_not_supported or undefined_file or undefined_object or insufficient_privilege then
    raise notice 'no pg_trgm here: %', sqlerrm;
end;
$$;
