-- An invoice that cannot be rendered becomes an exception, too.

-- squawk-ignore ban-drop-constraint -- a wider one follows at once
alter table ops.exceptions drop constraint exceptions_kind_check;
-- squawk-ignore constraint-missing-not-valid -- every row passed a narrower one
alter table ops.exceptions add constraint exceptions_kind_check check (
  kind in ('payment', 'webhook', 'payout', 'refund', 'message', 'erasure', 'circuit', 'ledger', 'sweep', 'deadline', 'invoice')
);
