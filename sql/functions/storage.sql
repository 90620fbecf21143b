-- Objects are kept outside the database; what the service changes there by hand is written down here.

create or replace function public.record_storage_change(p_action text, p_object text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_action := sec.valid_choice('action', p_action, array['put', 'delete']);
  p_object := sec.valid_text('object', p_object, 1, 1100);
  if p_object !~ '^[a-z_]+/.' then
    raise exception using errcode = 'PT400', constraint = 'input_valid', message = 'object must be bucket/path';
  end if;
  -- A path may hold a person's id, and events are kept when the person is erased.
  perform audit.record('storage.' || p_action, jsonb_build_object(
    'bucket', split_part(p_object, '/', 1), 'object_sha256', encode(sha256(convert_to(p_object, 'UTF8')), 'hex')
  ));
end;
$$;
comment on function public.record_storage_change(text, text) is
'Internal: an object, bucket/path, is about to be put or deleted by a client of /storage/v1.';
