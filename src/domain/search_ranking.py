"""Ranking without a database, by the tiers of sql/functions/search.sql.

7 exact title, 6 exact keyword, 5 a name begins so, 4 every word found, 3 one typo in a whole name, 2 one typo in a
beginning or in single words, 1 two typos. Only what folds to ASCII is searched with typos, as in SQL.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from src.domain.search import Found, Place, PlacesQuery
from src.domain.search_folding import fold

ONE_TYPO_FROM = 5
TWO_TYPOS_FROM = 9


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    title: str
    keywords: tuple[str, ...]
    words: frozenset[str]
    subtitle_words: frozenset[str]

    @property
    def names(self) -> Iterator[str]:
        yield self.title
        yield from self.keywords


class Ranking:
    """A catalogue in memory: every query looks at every place, so it is for hundreds of them."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._entries = [_entry(place) for place in places]
        self._vocabulary = frozenset(word for entry in self._entries for word in entry.words)

    def search(self, query: PlacesQuery) -> Found:
        """The best places, else (found False) the most popular ones."""
        typed = fold(query.query)
        tiers = self._tiers(typed, query.limit) if typed else {}
        found = [_scored(self._entries[number].place, tier) for number, tier in tiers.items()]
        chosen = found or [_scored(entry.place, 0) for entry in self._entries]
        return Found(bool(found), sorted(chosen, key=lambda place: (-place.score, place.slug))[: query.limit])

    def named(self, name: str) -> Place | None:
        """The place of this very name or keyword, if it is known where it lies."""
        typed = fold(name)
        hits = [
            _scored(entry.place, tier)
            for entry in self._entries
            if (tier := _tier_as_typed(entry, typed, [])) >= 6 and "latitude" in entry.place.metadata  # noqa: PLR2004 - a tier
        ]
        return min(hits, key=lambda place: (-place.score, place.slug), default=None)

    def _tiers(self, typed: str, limit: int) -> dict[int, int]:
        """The tier of each matching entry. A worse kind of match is looked for only while places are left to fill."""
        split = typed.split(" ")
        tiers = self._where(_tier_as_typed(entry, typed, split) for entry in self._entries)
        if len(typed) >= ONE_TYPO_FROM and len(tiers) < limit:
            meant = [self._meant(word, last=place == len(split)) for place, word in enumerate(split, start=1)]
            with_typo = self._where(_tier_with_typo(entry, typed, meant) for entry in self._entries)
            tiers = {**with_typo, **tiers}
        if len(typed) >= TWO_TYPOS_FROM and not tiers:
            tiers = self._where(
                int(any(edits(typed, term) <= 2 for term in {*entry.names, *entry.words} if len(term) >= 7))  # noqa: PLR2004 - two typos; as in SQL
                for entry in self._entries
            )
        return tiers

    @staticmethod
    def _where(tiers: Iterable[int]) -> dict[int, int]:
        return {number: tier for number, tier in enumerate(tiers) if tier}

    def _meant(self, word: str, *, last: bool) -> frozenset[str]:
        """The words of the vocabulary that a typed word can mean, itself included."""
        if len(word) < ONE_TYPO_FROM or not word.isascii():
            return frozenset({word})
        wanted = (2, 3) if last else (3,)
        return frozenset({word, *(known for known in self._vocabulary if typo_tier(word, known) in wanted)})


def _entry(place: Place) -> _Entry:
    title, *keywords = (fold(name) for name in (place.title, *place.keywords))
    words = frozenset(word for name in (title, *keywords) for word in name.split())
    return _Entry(place, title, tuple(keywords), words, frozenset(fold(place.subtitle or "").split()))


def _scored(place: Place, tier: int) -> Place:
    return replace(place, score=(tier * 1000 + place.popularity) / 1000)


def _tier_as_typed(entry: _Entry, typed: str, split: list[str]) -> int:
    if typed == entry.title:
        return 7
    if typed in entry.keywords:
        return 6
    if any(name.startswith(typed) for name in entry.names):
        return 5
    if any(word.startswith(typed) for word in entry.words):
        return 4
    return 4 if len(split) > 1 and _holds(entry, [frozenset({word}) for word in split]) else 0


def _tier_with_typo(entry: _Entry, typed: str, meant: list[frozenset[str]]) -> int:
    tier = max((typo_tier(typed, name) for name in entry.names), default=0)
    if not tier and any(typo_tier(typed, word) for word in entry.words):
        tier = 2
    return tier or (2 if len(meant) > 1 and _holds(entry, meant) else 0)


def _holds(entry: _Entry, meant: list[frozenset[str]]) -> bool:
    """Whether every typed word is a word of the place, the last one the beginning of one."""
    words = entry.words | entry.subtitle_words
    return all(not words.isdisjoint(options) for options in meant[:-1]) and any(
        word.startswith(option) for word in words for option in meant[-1]
    )


def typo_tier(typed: str, term: str) -> int:
    """3 when at most one typo parts the typed text from the term, 2 from the term's beginning, else 0."""
    if not (typed.isascii() and term.isascii() and len(typed) >= ONE_TYPO_FROM and len(term) >= ONE_TYPO_FROM - 1):
        return 0
    same = 0
    while same < min(len(typed), len(term)) and typed[same] == term[same]:
        same += 1
    # The first letters that differ are where the one typo must be.
    left, right = typed[same:], term[same:]
    swapped = right[1::-1] + right[2:]
    if left == right or left[1:] in (right, right[1:]) or left in (right[1:], swapped):
        return 3
    beginnings = ((right, left[1:]), (right[1:], left[1:]), (right[1:], left), (swapped, left))
    return 2 if not left or any(whole.startswith(beginning) for whole, beginning in beginnings) else 0


def edits(one: str, other: str) -> int:
    """How many letters to change, add, leave out or swap with a neighbour to get from one to the other."""
    last: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = last, row, [i]
        for j, wanted in enumerate(other, start=1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                best = min(best, before[j - 2] + 1)
            row.append(best)
    return row[-1]
