-- Privacy requests, the map of what we know of people, and what is kept to prove that a request was carried out.
-- The map's rows are data that changes with the tables: sql/views/privacy_data_map.sql.

create table privacy.mapped_tables (
  table_schema text not null,
  table_name text not null,
  label text not null,
  -- What an erasure does with the rows of its subject; none: the table has nothing to do with single persons.
  erasure text not null check (erasure in ('delete', 'redact', 'keep', 'none')),
  legal_basis text,
  retain_for interval,
  retain_from text,
  -- Where the files of a row are: bucket/{column} for one object, bucket/{column}/ for a folder.
  files text check (files ~ '^[a-z_]+/\{[a-z_]+\}/?$'),
  files_kept boolean not null default false,
  primary key (table_schema, table_name),
  constraint kept_with_a_reason check (erasure <> 'keep' or (legal_basis is not null and retain_for is not null and retain_from is not null)),
  constraint reason_is_whole check (num_nonnulls(legal_basis, retain_for, retain_from) in (0, 3))
);
comment on table privacy.mapped_tables is 'Every table, and what becomes of a person''s rows in it.';

create table privacy.links (
  table_schema text not null,
  table_name text not null,
  column_name text not null,
  -- The column of another table that has the same value; null when the value is the person's own id.
  parent_schema text,
  parent_table text,
  parent_column text,
  -- equal, or by digits: telephone numbers as people write them.
  compare text not null default 'equal' check (compare in ('equal', 'digits')),
  -- Leads to the person only where none of the table's other links leads to anybody.
  fallback boolean not null default false,
  unique nulls not distinct (table_schema, table_name, column_name, parent_schema, parent_table, parent_column),
  foreign key (table_schema, table_name) references privacy.mapped_tables on delete cascade
);
comment on table privacy.links is 'How rows lead to their person: by a column that holds the id, or through a row of another table.';

create table privacy.data_map (
  table_schema text not null,
  table_name text not null,
  column_name text not null,
  category text not null
  check (category in ('identity', 'contact', 'travel', 'payment', 'message', 'free_text', 'technical', 'none')),
  subject_path text,
  exported boolean not null,
  label text not null,
  erase_action text not null check (erase_action in ('delete', 'null', 'redact', 'token', 'keep', 'none')),
  legal_basis text,
  retain_for interval,
  files text,
  primary key (table_schema, table_name, column_name),
  foreign key (table_schema, table_name) references privacy.mapped_tables on delete cascade
);
comment on table privacy.data_map is 'Every column of every table: what it says of a person, whether they get a copy, what an erasure does with it.';

create table privacy.retention (
  table_schema text not null,
  table_name text not null,
  age_column text not null,
  keep_for interval not null check (keep_for > interval '0'),
  primary key (table_schema, table_name)
);
comment on table privacy.retention is 'Tables whose rows are deleted when they are old.';

create table privacy.transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table privacy.transitions is 'The legal moves of privacy.requests.status (API.md section 6).';
insert into privacy.transitions values
  ('received', 'in_review'), ('received', 'approved'), ('received', 'rejected'), ('in_review', 'approved'),
  ('in_review', 'rejected'), ('approved', 'processing'), ('processing', 'completed'), ('processing', 'failed'),
  ('failed', 'approved');

create table privacy.requests (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('export', 'erasure')),
  requester_user_id uuid,
  -- Kept after an erasure: after a restore of a backup it says whom to erase again.
  subject_user_id uuid not null,
  status text not null default 'received'
  check (status in ('received', 'in_review', 'approved', 'rejected', 'processing', 'completed', 'failed')),
  reason text check (length(reason) <= 500),
  decision_note text check (length(decision_note) <= 500),
  due_at timestamptz not null default now() + interval '1 month',
  extension_reason text check (length(extension_reason) between 1 and 500),
  plan_sha256 text,
  planned_at timestamptz,
  export_path text,
  export_sha256 text,
  export_expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- GDPR article 12(3): one month, and two further ones where that is necessary.
  constraint due_within_three_months check (due_at <= created_at + interval '3 months')
);
create unique index requests_one_open on privacy.requests (subject_user_id, kind)
where status not in ('completed', 'rejected');
create index requests_by_subject on privacy.requests (subject_user_id);
create index requests_by_due_at on privacy.requests (due_at) where status not in ('completed', 'rejected');
create index requests_by_export_end on privacy.requests (export_expires_at) where export_path is not null;

create table privacy.plans (
  request_id uuid primary key references privacy.requests (id),
  -- The canonical JSON whose SHA-256 the request holds: what the dry-run stored is what execute compares with.
  body text not null,
  files jsonb not null
);

create table privacy.certificates (
  request_id uuid primary key references privacy.requests (id),
  body jsonb not null
);

create table privacy.suppressions (
  request_id uuid not null references privacy.requests (id),
  kind text not null check (kind in ('email', 'phone', 'name')),
  token bytea not null,
  primary key (kind, token, request_id)
);
comment on table privacy.suppressions is
'Keyed digests of what an erased person was known by: to find what was left, and to keep an import from bringing them back.';

create table privacy.purges (
  id uuid primary key default gen_random_uuid(),
  request_id uuid not null references privacy.requests (id),
  bucket text not null,
  folder text not null,
  status text not null default 'pending' check (status in ('pending', 'failed')),
  attempts int not null default 0,
  next_attempt_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  last_error text,
  unique (request_id, bucket, folder)
);
create index purges_due on privacy.purges (next_attempt_at) where status = 'pending';
comment on table privacy.purges is 'Folders whose files are to be deleted; a row goes once a listing of its folder is empty.';

-- Kept audit rows are counted per person.
create index events_who on audit.events (who);
