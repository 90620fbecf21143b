-- These answers have a column more, which `create or replace` cannot add.
-- squawk-ignore ban-drop-function -- its file makes it anew at once
drop function if exists public.group_payouts_counts(date, date);
-- squawk-ignore ban-drop-function -- likewise
drop function if exists public.group_contribution_summary(uuid);
