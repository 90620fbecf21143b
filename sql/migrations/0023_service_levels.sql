-- What happened in the last hour and what waits, found without reading all that ever was: each look at /metrics asks.

create index payments_by_creation on payment.payments (created_at);
create index webhook_events_by_receipt on payment.webhook_events (received_at);
create index refunds_by_end on payment.refunds (processed_at);
create index refunds_pending on payment.refunds (requested_at) where status = 'pending';
