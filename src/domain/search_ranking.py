"""Ranking without a database, by the ranks of sql/functions/search.sql.

A rank is a tier and then the popularity, in thousandths: 7 exact title, 6 exact keyword, 5 a name begins so, 4 every
word found, 2 one typo (with a bonus for what is likelier), 1 two typos. Only what folds to ASCII is searched with
typos, as in SQL.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from src.domain.search import Found, Place, PlacesQuery
from src.domain.search_folding import fold

ONE_TYPO_FROM = 5
TWO_TYPOS_FROM = 9
MIN_LENGTH_WITH_TWO_TYPOS = 7
EXACT_TITLE, EXACT_KEYWORD, BEGINS, WORDS, ONE_TYPO, TWO_TYPOS = 7000, 6000, 5000, 4000, 2000, 1000
SAME_FIRST_LETTER, WHOLE_NAME, SLIP, TITLE, NAME = 300, 200, 150, 200, 100
"""As popularity: few mistype the first letter, a whole name is nearer than a beginning, a letter left out or two
swapped are likelier than one certain wrong letter, a title than another name, and that than a word."""


class _Index:
    """Where each term stands: the numbers of the places that have it."""

    def __init__(self, held: Iterable[Iterable[str]]) -> None:
        self._holders: dict[str, list[int]] = {}
        for number, terms in enumerate(held):
            for term in terms:
                self._holders.setdefault(term, []).append(number)
        self.terms = sorted(self._holders)

    def holding(self, term: str) -> Sequence[int]:
        return self._holders.get(term, ())

    def beginning(self, typed: str) -> Iterator[int]:
        """The places of every term that begins so."""
        for position in range(bisect_left(self.terms, typed), len(self.terms)):
            if not self.terms[position].startswith(typed):
                return
            yield from self._holders[self.terms[position]]


class Ranking:
    """A catalogue in memory. Typos are looked for in every term that begins alike, so it is for hundreds of places."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._places = list(places)
        self._popular = sorted(self._places, key=lambda place: (-place.popularity, place.slug))
        self._titles = [fold(place.title) for place in self._places]
        names = [(title, *map(fold, place.keywords)) for title, place in zip(self._titles, self._places, strict=True)]
        words = [frozenset(word for name in held for word in name.split()) for held in names]
        subtitles = [frozenset(fold(place.subtitle or "").split()) for place in self._places]
        self._names = _Index(names)
        self._words = _Index(words)
        self._words_and_subtitles = _Index(map(frozenset.union, words, subtitles))
        self._names_and_words = {*self._names.terms, *self._words.terms}
        self._near_names = _Near(self._names_and_words)
        self._near_words = _Near(self._words.terms)

    def search(self, query: PlacesQuery) -> Found:
        """The best places, else (found False) the most popular ones."""
        typed = fold(query.query)
        ranks = self._ranks(typed, query.limit) if typed else {}
        if not ranks:
            return Found(found=False, places=[_scored(place, 0) for place in self._popular[: query.limit]])
        ranked = sorted(
            ((rank, self._places[number]) for number, rank in ranks.items()),
            key=lambda found: (-found[0] - found[1].popularity, found[1].slug),
        )
        return Found(found=True, places=[_scored(place, rank) for rank, place in ranked[: query.limit]])

    def named(self, name: str) -> Place | None:
        """The place of this very name or keyword, if it is known where it lies."""
        typed = fold(name)
        hits = [
            _scored(self._places[number], EXACT_TITLE if self._titles[number] == typed else EXACT_KEYWORD)
            for number in self._names.holding(typed)
            if "latitude" in self._places[number].metadata
        ]
        return min(hits, key=lambda place: (-place.score, place.slug), default=None)

    def _ranks(self, typed: str, limit: int) -> Mapping[int, int]:
        """The rank of each matching place. A looser kind of match is looked for only while places are left to fill."""
        words = typed.split(" ")
        ranks = self._as_typed(typed)
        if len(words) > 1 and len(ranks) < limit:
            ranks = {**self._holding([frozenset({word}) for word in words], WORDS), **ranks}
        if len(typed) < ONE_TYPO_FROM:
            return ranks
        # Who typed a whole name made no typo.
        if len(ranks) < limit and max(ranks.values(), default=0) < EXACT_KEYWORD:
            ranks = {**self._with_typo(typed), **ranks}
        if len(words) > 1 and not ranks:
            meant = [self._meant(word, last=place == len(words)) for place, word in enumerate(words, start=1)]
            ranks = self._holding(meant, ONE_TYPO)
        if len(typed) >= TWO_TYPOS_FROM and not ranks:
            ranks = self._with_two_typos(typed)
        return ranks

    def _as_typed(self, typed: str) -> dict[int, int]:
        ranks = dict.fromkeys(self._words.beginning(typed), WORDS)
        ranks.update(dict.fromkeys(self._names.beginning(typed), BEGINS))
        for number in self._names.holding(typed):
            ranks[number] = EXACT_TITLE if self._titles[number] == typed else EXACT_KEYWORD
        return ranks

    def _with_typo(self, typed: str) -> dict[int, int]:
        ranks: dict[int, int] = {}
        for term, tier in self._near_names.to(typed):
            rank = ONE_TYPO + SAME_FIRST_LETTER * (term[0] == typed[0]) + SLIP * slipped(typed, term)
            for number in self._words.holding(term):
                ranks[number] = max(ranks.get(number, 0), rank)
            rank += WHOLE_NAME * (tier == _WHOLE)
            for number in self._names.holding(term):
                name = TITLE if self._titles[number] == term else NAME
                ranks[number] = max(ranks.get(number, 0), rank + name)
        return ranks

    def _with_two_typos(self, typed: str) -> dict[int, int]:
        near = (
            term
            for term in self._names_and_words
            if len(term) >= MIN_LENGTH_WITH_TWO_TYPOS and abs(len(term) - len(typed)) <= 2 and edits(typed, term) <= 2  # noqa: PLR2004 - two
        )
        return {
            number: TWO_TYPOS for term in near for number in (*self._names.holding(term), *self._words.holding(term))
        }

    def _holding(self, meant: Sequence[frozenset[str]], rank: int) -> dict[int, int]:
        """The places of which every typed word is a word, the last one the beginning of one."""
        index = self._words_and_subtitles
        held = {number for word in meant[-1] for number in index.beginning(word)}
        for options in meant[:-1]:
            held.intersection_update(number for word in options for number in index.holding(word))
        return dict.fromkeys(held, rank)

    def _meant(self, word: str, *, last: bool) -> frozenset[str]:
        """The words of the vocabulary that a typed word can mean, itself included."""
        wanted = (_BEGINNING, _WHOLE) if last else (_WHOLE,)
        return frozenset({word, *(known for known, tier in self._near_words.to(word) if tier in wanted)})


def _scored(place: Place, rank: int) -> Place:
    return replace(place, score=(rank + place.popularity) / 1000)


class _Near:
    """Terms by their first two letters: a text with one typo shares one of its own first two."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._by_letter: dict[str, set[str]] = {}
        for term in terms:
            for letter in term[:2]:
                self._by_letter.setdefault(letter, set()).add(term)

    def to(self, typed: str) -> Iterator[tuple[str, int]]:
        """The terms that are one typo away, with their tier."""
        near = set[str]().union(*(self._by_letter.get(letter, ()) for letter in typed[:2]))
        for term in near:
            tier = typo_tier(typed, term)
            if tier:
                yield term, tier


_WHOLE, _BEGINNING = 3, 2


def typo_tier(typed: str, term: str) -> int:
    """3 when at most one typo parts the typed text from the term, 2 from the term's beginning, else 0."""
    if len(typed) > len(term) + 1 or len(typed) < ONE_TYPO_FROM or len(term) < ONE_TYPO_FROM - 1:
        return 0
    if typed[0] != term[0] and typed[1] not in term[:2] and typed[0] != term[1]:
        return 0
    if not (typed.isascii() and term.isascii()):
        return 0
    left, right, swapped = _parted(typed, term)
    if left == right or left[1:] in (right, right[1:]) or left in (right[1:], swapped):
        return 3
    beginnings = ((right, left[1:]), (right[1:], left[1:]), (right[1:], left), (swapped, left))
    return 2 if not left or any(whole.startswith(beginning) for whole, beginning in beginnings) else 0


def slipped(typed: str, term: str) -> bool:
    """Whether what was typed is the term, or its beginning, with one letter left out or two neighbours swapped."""
    left, right, swapped = _parted(typed, term)
    return left != "" and (right[1:].startswith(left) or swapped.startswith(left))


def _parted(typed: str, term: str) -> tuple[str, str, str]:
    """Both from where they differ, which is where the one typo must be, and the term's with its first two swapped."""
    same, shorter = 0, min(len(typed), len(term))
    while same < shorter and typed[same] == term[same]:
        same += 1
    left, right = typed[same:], term[same:]
    return left, right, right[1::-1] + right[2:]


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
