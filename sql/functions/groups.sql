-- Groups and their members. Whoever makes a group owns it; ops may act for anyone.

create or replace function "group".guard_group() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status
    and not exists (
      select from "group".group_transitions where from_status = old.status and to_status = new.status
    ) then
    raise exception using
      errcode = 'PT409', constraint = 'group_transition',
      message = format('A group that is %s cannot become %s', old.status, new.status);
  end if;
  new.updated_at := now();
  return new;
end;
$$;
comment on function "group".guard_group() is 'Trigger: a group moves only along "group".group_transitions.';

create or replace trigger guard_group before update on "group".groups
for each row execute function "group".guard_group();
create or replace trigger refuse_removal before delete or truncate on "group".groups
for each statement execute function audit.refuse_change();
create or replace trigger refuse_removal before truncate on "group".members
for each statement execute function audit.refuse_change();

create or replace function "group".my_groups() returns setof uuid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select group_id from "group".members where user_id = auth.uid() $$;
comment on function "group".my_groups() is 'Internal: the groups that the caller is a member of, for row policies.';

create or replace function "group".acting_user(p_user_id uuid) returns uuid
language plpgsql stable
as $$
begin
  if p_user_id is null and auth.uid() is null then
    raise exception using errcode = 'PT400', constraint = 'user_named', message = 'user_id is required';
  elsif p_user_id is distinct from auth.uid() and p_user_id is not null then
    perform sec.require_ops();
  end if;
  return coalesce(p_user_id, auth.uid());
end;
$$;
comment on function "group".acting_user(uuid) is
'Whom the caller acts for: themself, or, being ops, the user they name. Raises user_named, ops_only.';

create or replace function "group".acting_member(p_group_id uuid, p_user_id uuid, p_member_id uuid default null)
returns "group".members
language plpgsql stable
as $$
declare
  v_member "group".members;
begin
  if p_member_id is null then
    select * into v_member from "group".members
    where group_id = p_group_id and user_id = "group".acting_user(p_user_id);
    if not found then
      raise exception using errcode = 'PT403', constraint = 'member_only', message = 'Only members may contribute';
    end if;
    return v_member;
  end if;
  select * into v_member from "group".members where id = p_member_id and group_id = p_group_id;
  if v_member.user_id is distinct from auth.uid() then
    perform sec.require_ops();
  end if;
  if v_member.id is null then
    raise exception using errcode = 'PT404', constraint = 'member_known', message = 'Member not found';
  elsif p_user_id <> v_member.user_id then
    raise exception using
      errcode = 'PT400', constraint = 'member_of_user', message = 'member_id belongs to another user';
  end if;
  return v_member;
end;
$$;
comment on function "group".acting_member(uuid, uuid, uuid) is
'The membership the caller acts with: their own, or, being ops, that of a user or member they name. Raises '
'member_only, member_known, member_of_user, user_named, ops_only.';

create or replace function public.create_group(
  p_name text, p_size_target int default null, p_itinerary_id uuid default null, p_user_id uuid default null
) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := "group".acting_user(p_user_id);
  v_group_id uuid;
  v_member_id uuid;
begin
  p_name := sec.valid_text('name', p_name, 1, 120);
  p_size_target := sec.valid_integer('size_target', p_size_target, 1, 10000, p_optional => true);
  perform "group".require_itinerary(p_itinerary_id);
  insert into "group".groups (name, size_target, itinerary_id) values (p_name, p_size_target, p_itinerary_id)
  returning id into v_group_id;
  insert into "group".members (group_id, user_id, role) values (v_group_id, v_user_id, 'owner')
    returning id into v_member_id;
  perform audit.record('group.created', jsonb_build_object('group_id', v_group_id, 'member_id', v_member_id));
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'group_id', v_group_id, 'member_id', v_member_id
  );
end;
$$;
comment on function public.create_group(text, int, uuid, uuid) is
'A user, or ops for one: makes a group and becomes its owner; ops name the owner in p_user_id.';

create or replace function "group".require_itinerary(p_itinerary_id uuid) returns void
language plpgsql stable
as $$
begin
  if ops.flag('USE_FIXTURES') = '0' and p_itinerary_id is not null
    and not exists (select from booking.itineraries where id = p_itinerary_id) then
    raise exception using errcode = 'PT404', constraint = 'itinerary_known', message = 'Itinerary not found';
  end if;
end;
$$;
comment on function "group".require_itinerary(uuid) is
'Raises itinerary_known for an itinerary that is not stored, unless bookings come from fixtures.';

create or replace function public.join_group(p_group_id uuid, p_user_id uuid default null) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id uuid := "group".acting_user(p_user_id);
  v_status text;
  v_member "group".members;
  v_new boolean;
begin
  p_group_id := sec.valid_uuid('group_id', p_group_id);
  -- A shared lock: members join concurrently, but the group cannot be locked or cancelled meanwhile.
  select status into v_status from "group".groups where id = p_group_id for share;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'group_known', message = 'Group not found';
  end if;
  if v_status = 'open' then
    insert into "group".members (group_id, user_id) values (p_group_id, v_user_id)
    on conflict on constraint member_once do nothing
    returning * into v_member;
  end if;
  v_new := v_member.id is not null;
  if v_new then
    perform audit.record('group.joined', jsonb_build_object('group_id', p_group_id, 'member_id', v_member.id));
  else
    select * into v_member from "group".members where group_id = p_group_id and user_id = v_user_id;
    if not found then
      raise exception using
        errcode = 'PT409', constraint = 'group_open',
        message = format('The group is %s and takes no members', v_status);
    end if;
  end if;
  return json_build_object(
    'ok', true, 'request_id', sec.request_id(), 'member_id', v_member.id, 'role', v_member.role,
    'status', case when v_new then 'created' else 'existing' end
  );
end;
$$;
comment on function public.join_group(uuid, uuid) is
'A user, or ops for one: joins an open group as a member; who is in it already gets the same membership. Ops name the '
'user in p_user_id.';

create or replace function public.set_group_status(p_group_id uuid, p_status text) returns json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  p_group_id := sec.valid_uuid('group_id', p_group_id);
  p_status := sec.valid_choice('status', p_status, array['open', 'locked', 'cancelled']);
  if not exists (
    select from "group".members where group_id = p_group_id and user_id = auth.uid() and role = 'owner'
  ) then
    perform sec.require_ops();
  end if;
  perform from "group".groups where id = p_group_id for update;
  if not found then
    raise exception using errcode = 'PT404', constraint = 'group_known', message = 'Group not found';
  elsif p_status = 'cancelled'
    and exists (select from "group".escrows where group_id = p_group_id and status in ('open', 'met')) then
    raise exception using
      errcode = 'PT409', constraint = 'group_settled', message = 'The group collects money; cancel its escrows first';
  end if;
  update "group".groups set status = p_status where id = p_group_id;
  perform audit.record('group.' || p_status, jsonb_build_object('group_id', p_group_id));
  return json_build_object('ok', true, 'request_id', sec.request_id(), 'group_id', p_group_id, 'status', p_status);
end;
$$;
comment on function public.set_group_status(uuid, text) is
'The owner or ops: locks, opens or cancels a group. A locked one takes no members; a cancelled one stays so.';
