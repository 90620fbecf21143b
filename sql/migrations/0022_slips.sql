-- catalog.slip_patterns() took its place.

-- squawk-ignore ban-drop-function -- only the search's own functions may call it
drop function if exists catalog.slips(text);
