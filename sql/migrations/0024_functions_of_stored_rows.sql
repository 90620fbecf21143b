-- A generated column and an index call these under whatever search_path the statement has that writes the row.

alter function catalog.words_of(text, text, text[]) set search_path = pg_catalog, pg_temp;
alter function catalog.typo_keys(text) set search_path = pg_catalog, pg_temp;
