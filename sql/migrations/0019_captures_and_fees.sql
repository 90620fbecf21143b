-- A provider may take less than the whole amount, and takes a fee.

alter table payment.webhook_events
add column captured_cents bigint;
comment on column payment.webhook_events.captured_cents is 'What the provider took of the intent''s amount.';

insert into fin.entry_types values ('fee_charged', 'payment');
insert into fin.account_kinds values ('fees', 1, 'currency', null);
insert into fin.sequences
select 'fee_charged', unnest(array['refund_requested', 'refund_succeeded', 'refund_failed', 'dispute_opened', 'dispute_closed', 'fee_charged'])
union all
select unnest(array['capture_succeeded', 'refund_requested', 'refund_succeeded', 'refund_failed', 'dispute_opened', 'dispute_closed']), 'fee_charged';
