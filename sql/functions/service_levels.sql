-- How well the service does, by its own books: what /metrics and `ecotrips check` show and alerts are made of.

create or replace function ops.service_levels() returns json
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select json_strip_nulls(json_build_object(
    'checkouts_last_hour', (select count(*) from payment.payments where created_at > now() - interval '1 hour'),
    -- A checkout has succeeded once the provider gave it an intent.
    'checkout_success_ratio_last_hour', (
      select avg((intent_id is not null)::int)::float8 from payment.payments
      where created_at between now() - interval '1 hour' and now() - interval '10 seconds'
    ),
    'webhook_lag_p95_seconds_last_hour', (
      select percentile_cont(0.95) within group (order by extract(epoch from received_at - occurred_at))
      from payment.webhook_events where received_at > now() - interval '1 hour'
    ),
    'refunds_pending', (select count(*) from payment.refunds where status = 'pending'),
    -- A waiting refund counts with its age so far.
    'refund_lag_p95_seconds_last_hour', (
      select percentile_cont(0.95) within group (
        order by extract(epoch from coalesce(processed_at, now()) - requested_at)
      )
      from payment.refunds
      where origin <> 'provider' and (status = 'pending' or processed_at > now() - interval '1 hour')
    ),
    'messages_queued', (select count(*) from wa.messages where status in ('queued', 'sending', 'unknown')),
    'payouts_pending', (select count(*) from "group".payouts where status in ('processing', 'needs_reconcile')),
    'webhooks_deferred', (select count(*) from payment.webhook_events where result = 'deferred'),
    'escrow_refunds_due', (select count(*) from "group".contributions where refund_status = 'due'),
    'exceptions_open', (select count(*) from ops.exceptions where status <> 'resolved' and source = 'view'),
    -- The age of the oldest of each kind; work that was given up counts as an exception.
    'refund_wait_seconds', (
      select coalesce(extract(epoch from now() - min(requested_at)), 0)::float8 from payment.refunds
        where status = 'pending'
    ),
    'payout_wait_seconds', (
      select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from "group".payouts
      where status in ('processing', 'needs_reconcile') or next_attempt_at is not null
    ),
    'webhook_wait_seconds', (
      select coalesce(extract(epoch from now() - min(received_at)), 0)::float8 from payment.webhook_events
      where result = 'deferred' and next_attempt_at is not null
    ),
    'message_wait_seconds', (
      select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from wa.messages
      where status in ('queued', 'sending')
    ),
    'exception_wait_seconds', (
      select coalesce(extract(epoch from now() - min(occurred_at)), 0)::float8 from ops.exceptions
      where status <> 'resolved' and source = 'view'
    ),
    -- Without any finished turn of a worker there is no value.
    'worker_silence_seconds', (select extract(epoch from now() - max(finished_at))::float8 from ops.sweeps),
    'sweeps_failing', (select count(*) from ops.sweeps where failures > 0),
    -- A session that listens within a transaction keeps all notifications; a full queue blocks every notify.
    'notification_queue_ratio', pg_notification_queue_usage(),
    -- The share of the shared lock table in use, in all databases; a full table blocks every lock. Fast-path locks of
    -- processes do not count.
    'lock_table_ratio', (
      select count(*)::float8 / (
        current_setting('max_locks_per_transaction')::int
        * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
      )
      from pg_locks where not fastpath
    ),
    -- The share of transaction ids that the least vacuumed database has used; at 1 all writes stop.
    'transaction_ids_ratio', (select max(age(datfrozenxid)) / 2147483648.0::float8 from pg_database),
    -- The age in ids of the oldest snapshot, which keeps newer rows from being vacuumed.
    'oldest_snapshot_transactions', (
      select coalesce(max(age(xmin)), 0)
      from (select backend_xmin from pg_stat_activity union all select xmin from pg_replication_slots) as kept (xmin)
    )
  ))
$$;
comment on function ops.service_levels() is
'Service: ratios, lags in seconds and backlogs by name; a level without data is left out.';
