-- What an extension brings is granted to everybody, by an owner that is not ours: its functions stood in the schema that
-- /rest/v1 shows. They move to one that no caller may use. An extension belongs to who restored the database, so this is
-- done as the administrator.

create schema ext;
comment on schema ext is 'What extensions bring; only the owner uses it.';

reset role;
do $$
begin
  if exists (select from pg_extension where extname = 'pg_trgm' and extnamespace = 'catalog'::regnamespace) then
    drop index if exists catalog.terms_by_trigram;
    drop extension pg_trgm;
    create extension pg_trgm with schema ext;
    create index terms_by_trigram on catalog.terms using gin (term ext.gin_trgm_ops) where length(term) >= 7;
  end if;
end;
$$;
set local role ecotrips_owner;
