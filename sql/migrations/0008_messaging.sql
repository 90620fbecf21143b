-- WhatsApp messages, out and in, with what Meta reports of them. Numbers and texts are personal data: they stand in
-- these tables only, never in exceptions, the audit trail or a log line.

create table wa.transitions (
  from_status text not null,
  to_status text not null,
  primary key (from_status, to_status)
);
comment on table wa.transitions is
'The legal moves of wa.messages.status. Reports come in any order, so a message ends as the most that is known of it.';
insert into wa.transitions values
  ('queued', 'sending'), ('queued', 'failed'), ('queued', 'sent'), ('queued', 'delivered'), ('queued', 'read'),
  ('sending', 'queued'), ('sending', 'sent'), ('sending', 'delivered'), ('sending', 'read'), ('sending', 'failed'),
  ('sending', 'unknown'),
  ('unknown', 'sent'), ('unknown', 'delivered'), ('unknown', 'read'), ('unknown', 'failed'), ('unknown', 'queued'),
  ('sent', 'delivered'), ('sent', 'read'), ('sent', 'failed'), ('sent', 'queued'),
  ('delivered', 'read'),
  -- A failure that was reported too early, and a message that ops send again.
  ('failed', 'delivered'), ('failed', 'read'), ('failed', 'queued');

create table wa.messages (
  id uuid primary key default gen_random_uuid(),
  direction text not null check (direction in ('out', 'in')),
  mode text not null check (mode in ('live', 'mock')),
  type text not null check (length(type) between 1 and 32),
  -- The traveller's number, E.164 digits without the plus sign.
  msisdn text not null check (msisdn ~ '^[1-9][0-9]{6,14}$'),
  body text check (length(body) <= 4096),
  url text check (url ~ '^https?://' and length(url) <= 2048),
  template jsonb check (jsonb_typeof(template) = 'object'),
  -- The template that carries a link notice when no free text is allowed: a name, or name:language.
  link_template text,
  sent_as text check (sent_as in ('text', 'template')),
  status text not null check (status in ('queued', 'sending', 'unknown', 'sent', 'delivered', 'read', 'failed', 'received')),
  provider_message_id text unique check (length(provider_message_id) <= 128),
  -- Grows with every attempt, so that the outcome of an older one is told apart.
  attempts int not null default 0,
  next_attempt_at timestamptz not null default now(),
  locked_until timestamptz,
  error_code int,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  sent_at timestamptz,
  delivered_at timestamptz,
  read_at timestamptz,
  failed_at timestamptz,
  constraint message_content check (
    direction = 'in'
    or (type = 'text' and body is not null)
    or (type = 'link_notice' and body is not null and url is not null and length(body) + length(url) < 4096)
    or (type = 'template' and template is not null)
  ),
  constraint received_only_in check ((direction = 'in') = (status = 'received'))
);
create index messages_due on wa.messages (next_attempt_at) where status = 'queued';
create index messages_in_flight on wa.messages (locked_until) where status = 'sending';
create index messages_by_number on wa.messages (msisdn, created_at desc);

-- What is known of a number: when it last wrote (free text is allowed for 24 hours after that), and until when nothing
-- is sent to it.
create table wa.contacts (
  msisdn text primary key check (msisdn ~ '^[1-9][0-9]{6,14}$'),
  last_inbound_at timestamptz,
  hold_until timestamptz not null default '-infinity',
  updated_at timestamptz not null default now()
);

-- Every report as it came, for messages that are not ours or not known yet too.
create table wa.statuses (
  provider_message_id text not null check (length(provider_message_id) between 1 and 128),
  status text not null check (length(status) between 1 and 32),
  occurred_at timestamptz not null,
  error_code int,
  received_at timestamptz not null default now(),
  primary key (provider_message_id, status, occurred_at)
);
