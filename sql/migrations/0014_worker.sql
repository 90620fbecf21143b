-- The worker's schedule. Each sweep has one row that holds the newest slot taken, so any number of hosts agree on who
-- runs it by one conditional update, and the table never grows.

create table ops.sweeps (
  name text primary key check (length(name) between 1 and 64),
  -- The start of the period that was taken last; only a later one can be taken.
  slot timestamptz not null,
  -- Whose audit events and log lines belong to the newest turn.
  request_id text not null,
  claimed_at timestamptz not null default now(),
  finished_at timestamptz,
  handled bigint not null default 0 check (handled >= 0),
  failures int not null default 0 check (failures >= 0),
  -- After a failure no host tries before this moment.
  next_at timestamptz not null default '-infinity',
  last_error text
);
comment on table ops.sweeps is
'One row per sweep of the worker: its newest turn, how many rows it handled in all, and how often it failed in a row.';

-- What ops noted when they asked for another try.
alter table ops.exceptions add column retry_note text check (length(retry_note) between 1 and 500);
