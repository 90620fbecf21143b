-- Whether this database is a production one: then nothing of it is ever mocked, whatever a process or a row says.

create table meta.environment (
  only_row boolean primary key default true check (only_row),
  name text not null check (name in ('development', 'production')),
  changed_at timestamptz not null default now()
);
comment on table meta.environment is
'Written by meta.set_environment alone: by ecotrips db apply in production, and by the administrator who takes that back.';
insert into meta.environment (name) values ('development');
