-- The ops queue of things that went wrong: one unresolved row per cause.

create or replace function ops.open_exception(p_kind text, p_cause text, p_error text, p_supplier text default null)
returns uuid
language sql volatile
as $$
  insert into ops.exceptions (kind, cause, last_error, supplier) values (p_kind, p_cause, p_error, p_supplier)
  on conflict (kind, cause) where status <> 'resolved' do update
    set last_error = excluded.last_error, status = 'open', attempts = ops.exceptions.attempts + 1, updated_at = now()
  returning id
$$;
comment on function ops.open_exception(text, text, text, text) is
'Opens the exception of a cause, or counts one more attempt on its unresolved row. p_error holds no personal data.';

create or replace function ops.resolve_exception(p_kind text, p_cause text) returns void
language sql volatile
as $$
  update ops.exceptions set status = 'resolved', updated_at = now()
  where kind = p_kind and cause = p_cause and status <> 'resolved'
$$;
comment on function ops.resolve_exception(text, text) is 'Resolves the unresolved exception of a cause, if there is one.';

create or replace function ops.list_exceptions(p_status text, p_page int, p_page_size int) returns json
language plpgsql stable security definer set search_path = pg_catalog
as $$
begin
  perform sec.require_ops();
  return (
    with page as (
      select * from ops.v_exceptions
      where p_status is null or status = p_status
      order by occurred_at desc, id desc
      limit p_page_size offset (p_page - 1)::bigint * p_page_size
    )
    select json_strip_nulls(json_build_object(
      'ok', true,
      'data', coalesce((select json_agg(page order by occurred_at desc, id desc) from page), '[]'),
      'request_id', sec.request_id(),
      'total', (select count(*) from ops.exceptions where p_status is null or status = p_status),
      'page', p_page,
      'page_size', p_page_size,
      'source', 'view'
    ))
  );
end;
$$;
comment on function ops.list_exceptions(text, int, int) is 'Ops: one page of ops.v_exceptions, newest first (API.md section 2).';
