-- A group's name is what its owner typed: their personal data, which leads to them by this column.

alter table "group".members
-- squawk-ignore adding-field-with-default -- written anew once: a group has few members
add column owned_group_id uuid generated always as (case role when 'owner' then group_id end) stored;
