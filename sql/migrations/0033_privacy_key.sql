-- Which key erasures are made under: a mistyped one would be final, under a key that nobody has.

create table privacy.service_key (
  only_row boolean primary key default true check (only_row),
  id text not null
);
comment on table privacy.service_key is
'The id of the PRIVACY_HMAC_SECRET of the environment that ecotrips db apply last ran in, as certificates name it.';
