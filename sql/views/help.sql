-- What a person in psql asks for first: what there is to do, and what each schema holds.

create or replace view ops.help with (security_invoker = true) as
select
  -- In lines that three columns side by side need no more than a hundred letters for.
  rtrim(regexp_replace(regexp_replace(said, '^(Ops|Service|Any caller|Any user): ', ''), '(.{1,42})(\s+|$)', E'\\1\n',
  'g'), E'\n')
    as task,
  rtrim(regexp_replace(format('%s(%s)', name, arguments), '(.{1,40}[,(]|.{1,41}$)\s*', E'\\1\n ', 'g'), E'\n ') as call,
  who
from (
  select
    regexp_replace(obj_description(p.oid, 'pg_proc'), '\s+', ' ', 'g') as said,
    p.oid::regproc as name,
    regexp_replace(
      replace(replace(pg_get_function_arguments(p.oid), ' DEFAULT ', ' = '), 'timestamp with time zone', 'timestamptz'),
      '::[a-z]+( [a-z]+)*(\[\])?', '', 'g'
    ) as arguments,
    case
      when has_function_privilege('anon', p.oid, 'execute') then 'anyone'
      when has_function_privilege('authenticated', p.oid, 'execute') then 'ops'
      else 'service'
    end as who
  from pg_proc p
  where pg_get_userbyid(p.proowner) = 'ecotrips_owner' and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
    and has_function_privilege('service_role', p.oid, 'execute')
) callable
where said not like 'Internal: %' and (select sec.ops_only())
order by task;
comment on view ops.help is
'Every function that people call, from its comment: select * from ops.help where task like ''%refund%''. who is who '
'may at least: ops by `ecotrips psql`, service by `ecotrips psql --service`.';

comment on schema audit is 'The audit trail: who changed what, under which request.';
comment on schema auth is 'Who is calling, by the verified token: auth.uid(), auth.claims().';
comment on schema booking is 'Itineraries, their items and the suppliers.';
comment on schema catalog is 'Places, as search finds them.';
comment on schema core is 'People: core.profiles says who is ops.';
comment on schema fin is 'The ledger, invoices, and fin.verify_ledger(), which proves the books.';
comment on schema "group" is 'Travellers'' groups, their escrows, contributions and payouts.';
comment on schema inventory is 'Hotel rates: the cache, the circuit, and holds of prices.';
comment on schema meta is 'What SQL is applied, and whether this is a production database.';
comment on schema ops is 'What operators read and switch: ops.help, bookings, refunds, exceptions, flags, sweeps.';
comment on schema payment is 'Payments, refunds, and the provider''s events.';
comment on schema permits is 'Requests for park permits, and quotas.';
comment on schema privacy is 'Requests of persons for their data, and the map of where it is.';
comment on schema sec is 'Rights and checks that the functions share.';
comment on schema storage is 'Empty: files are kept outside of the database.';
comment on schema wa is 'WhatsApp messages and what became of them.';
