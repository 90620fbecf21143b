"""Folding and highlights without a database."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from src.domain.search import Place
from src.domain.search_folding import fold, origin, words
from src.domain.search_highlights import highlights


def shown(place: Place, query: str) -> list[tuple[str, str]]:
    """Each match as its field and the original letters that its ranges cover."""
    texts = {"title": place.title, "subtitle": place.subtitle or ""}
    found = []
    for match in highlights(place, fold(query).split()):
        text = texts[match.field] if match.index is None else place.keywords[match.index]
        found += [(match.field, text[start : start + length]) for start, length in match.ranges]
    return found


MUSANZE = Place(
    "musanze", "city", "1", "Musanze", "Northern Province, Rwanda", ("Ruhengeri", "Gateway to the Virungas")
)


def test_a_range_covers_what_was_typed_of_an_unfinished_word() -> None:
    assert shown(MUSANZE, "mus") == [("title", "Mus")]
    assert shown(MUSANZE, "rwanda virung") == [("subtitle", "Rwanda"), ("keywords", "Virung")]


def test_a_range_covers_the_whole_word_when_it_was_typed_with_a_typo() -> None:
    assert shown(replace(MUSANZE, meant=[("muzanze", "musanze")]), "muzanze") == [("title", "Musanze")]
    assert shown(replace(MUSANZE, meant=[("rwnda", "rwanda"), ("virumga", "virungas")]), "rwnda virumga") == [
        ("subtitle", "Rwanda"),
        ("keywords", "Virungas"),
    ]
    assert shown(replace(MUSANZE, meant=[("gatewai to", "gateway to")]), "gatewai to") == [
        ("keywords", "Gateway"),
        ("keywords", "to"),
    ]


def test_a_keyword_says_which_one_it_is_and_the_term_is_what_was_typed() -> None:
    (match,) = highlights(MUSANZE, ["ruhen"])
    assert (match.field, match.index, match.terms, match.ranges) == ("keywords", 0, ["ruhen"], [(0, 5)])


def test_ranges_count_code_points_of_the_original_and_hold_the_marks_of_a_letter() -> None:
    composed, parted = "S\u00e3o Tom\u00e9", "Sa\u0303o Tome\u0301"
    for title in (composed, parted):
        place = Place("x", "city", "1", title)
        assert shown(place, "sao tome") == [("title", title.split()[0]), ("title", title.split()[1])]
    assert shown(Place("x", "city", "1", "🦍 Großstraße"), "grossst") == [("title", "Großst")]
    assert shown(Place("x", "city", "1", "N'Djamena"), "ndjam") == [("title", "N'Djam")]


def test_words_that_were_typed_as_one_are_covered_as_one() -> None:
    place = Place("x", "city", "1", "Los Ángeles (CL)", meant=[("losangelescl", "los angeles cl")])
    assert shown(place, "losangelescl") == [("title", "Los Ángeles (CL")]
    place = Place("x", "city", "1", "Hotel Los Ángeles", None, ("Laos",), meant=[("losangel", "los angeles")])
    assert shown(place, "losangel") == [("title", "Los Ángeles")]


@given(st.text(max_size=20), st.text(max_size=10))
@settings(max_examples=100, deadline=None)
def test_every_range_lies_in_its_text(title: str, query: str) -> None:
    place = Place("x", "city", "1", title or "-", None, (title,))
    for match in highlights(place, fold(query or title).split()):
        text = title or "-"
        assert len(match.terms) == len(match.ranges)
        for start, length in match.ranges:
            assert 0 <= start < start + length <= len(text)


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_folding_twice_changes_nothing_and_every_letter_has_its_origin(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    for word in words(text):
        assert len(word.text) == len(word.starts)
        start, length = origin(text, word, len(word.text))
        assert word.text in fold(text[start : start + length])


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_composed_and_decomposed_letters_fold_to_the_same(text: str) -> None:
    latin = "".join(letter for letter in text if ord(letter) < 0x250)
    assert fold(unicodedata.normalize("NFC", latin)) == fold(unicodedata.normalize("NFD", latin))
