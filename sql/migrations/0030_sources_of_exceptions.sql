-- Offline the queue holds the fixtures beside what really failed, so that one list shows both and a retry changes it.
-- The words are those of the lists' own `source`.
alter table ops.exceptions add column source text not null default 'view' check (source in ('fixtures', 'view'));
