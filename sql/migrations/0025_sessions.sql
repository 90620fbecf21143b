-- Which session wrote an event, whatever it says of itself; and the switches that sessions of psql work under.

alter table audit.events add column login text;
-- Events from before do not know. Checked for new rows alone, so that the table is not read meanwhile.
alter table audit.events alter column login set default session_user;
alter table audit.events add constraint login_known check (login is not null) not valid;
comment on column audit.events.login is 'The database login whose session wrote the event; null for those before it was kept.';

create table ops.switch_defaults (
  name text primary key,
  value text not null
);
comment on table ops.switch_defaults is
'The switches of the environment that ecotrips db apply last ran in: what sessions that are not the service''s own work under.';
