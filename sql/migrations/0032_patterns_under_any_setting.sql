-- Any login sets how backslashes of plain literals are read (standard_conforming_strings). The patterns mean what they did, so
-- nothing that is stored changes.

create or replace function catalog.fold(p_text text) returns text
language sql immutable strict parallel safe
as $$
  select case
    when p_text ~ '^[a-z0-9]+( [a-z0-9]+)*$' then p_text
    else btrim(regexp_replace(
      regexp_replace(
        replace(replace(replace(replace(
          translate(lower(normalize(p_text, nfkd)), 'ςłøđðħıŋĸØŁĐÐĦŊÆŒÞẞ', 'σlodðhinkoldðhnæœþß'),
          'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'),
        -- Marks of Latin, Greek, Cyrillic, Hebrew and Arabic letters go, apostrophes too ...
        E'[\\u0300-\\u036F\\u0483-\\u0489\\u0591-\\u05BD\\u064B-\\u065F\\u0670\\u06D6-\\u06ED\\u1AB0-\\u1AFF\\u1DC0-\\u1DFF\\u20D0-\\u20FF'
          || E'\\uFE20-\\uFE2F''`\\u02B9-\\u02BF\\u2018\\u2019]',
        '', 'g'
      ),
      -- ... and other punctuation and space part words.
      E'[\\u0001-/:-@\\[-_{-\\u00A9\\u00AB-\\u00B1\\u00B4\\u00B6-\\u00B8\\u00BB\\u00BF\\u2000-\\u206F\\u3000-\\u3003\\u060C]+',
      ' ', 'g'
    ))
  end
$$;
