-- Amounts as people read them. They are stored in minor units, in columns whose names end in _cents.

create or replace function fin.amount(p_cents bigint, p_currency text) returns text
language sql immutable
return (p_cents * case
  -- ISO 4217, list one; src/domain/money.py says the same.
  when p_currency in (
    'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND', 'VUV', 'XAF', 'XOF',
    'XPF'
  ) then 1
  when p_currency in ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') then 0.001
  when p_currency in ('CLF', 'UYW') then 0.0001
  else 0.01
end)::text || ' ' || p_currency;
comment on function fin.amount(bigint, text) is
'Any user: minor units as text in the digits of their currency, 250.00 USD or 350200 RWF; views with amounts have it '
'as a column.';
