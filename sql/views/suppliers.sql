-- How suppliers keep their promises, for ops.

create or replace view ops.v_supplier_slas with (security_invoker = true) as
select
  s.code as supplier,
  s.tier,
  round(
    (extract(epoch from avg(i.confirmed_at - i.created_at) filter (where i.confirmed_at is not null)) / 3600)::numeric,
    2
  ) as avg_confirmation_hours,
  count(i.id) filter (where i.status = 'pending') as open_confirms,
  case
    when count(i.id) filter (
      where i.status = 'pending' and i.created_at < now() - make_interval(hours => s.confirmation_hours)
    ) > 0 then 'breached'
    when count(i.id) filter (
      where i.status = 'pending' and i.created_at < now() - make_interval(hours => s.confirmation_hours) * 0.75
    ) > 0 then 'at_risk'
    else 'ok'
  end as breach_state,
  round(100.0 * count(i.id) filter (where i.status = 'cancelled') / nullif(count(i.id), 0), 2) as cancellations_pct,
  -- A promise is broken when its time ends, even if the confirmation comes later.
  max(i.created_at + make_interval(hours => s.confirmation_hours)) filter (
    where i.status <> 'cancelled'
      and coalesce(i.confirmed_at, now()) > i.created_at + make_interval(hours => s.confirmation_hours)
  ) as last_breach_at
from booking.suppliers s
left join booking.itineraries i on i.primary_supplier = s.code
where (select sec.ops_only())
group by s.code, s.tier, s.confirmation_hours;
comment on view ops.v_supplier_slas is
'Ops: each supplier''s confirmation times in hours, open confirmations and share of cancellations in percent.';
