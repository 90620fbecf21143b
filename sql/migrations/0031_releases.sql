-- Which SQL this database has held whole, the newest last: the release before the newest goes on working on it.

create table meta.releases (
  place bigint generated always as identity primary key,
  digest text not null unique,
  applied_at timestamptz not null default now()
);
comment on table meta.releases is
'Written by ecotrips db apply once all files are applied; going back takes away what was applied later.';
