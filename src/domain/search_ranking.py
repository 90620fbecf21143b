"""Ranking without a database, by the ranks of sql/functions/search.sql.

A rank is a tier and then the popularity, in thousandths: 7 exact title, 6 exact keyword, 5 a name begins so, 4 every
word found, 2 one typo (with a bonus for what is likelier), 1 two typos. Only what folds to ASCII is searched with
typos, as in SQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from src.domain.search import Found, Place, PlacesQuery
from src.domain.search_folding import fold

ONE_TYPO_FROM = 5
TWO_TYPOS_FROM = 9
SHORTEST_WITH_TWO_TYPOS = 7
EXACT_TITLE, EXACT_KEYWORD, BEGINS, WORDS, ONE_TYPO, TWO_TYPOS = 7000, 6000, 5000, 4000, 2000, 1000
SAME_FIRST_LETTER, WHOLE_NAME, SLIP, TITLE, NAME = 300, 200, 150, 200, 100
"""As popularity: few mistype the first letter, a whole name is nearer than a beginning, a letter left out or two
swapped are likelier than one certain wrong letter, a title than another name, and that than a word."""


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    title: str
    keywords: tuple[str, ...]
    words: frozenset[str]
    all_words: frozenset[str]


class Ranking:
    """A catalogue in memory: every query looks at every name, so it is for hundreds of places."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._entries = [_entry(place) for place in places]
        self._popular = sorted(
            (entry.place for entry in self._entries), key=lambda place: (-place.popularity, place.slug)
        )
        # Where each term stands: the entries that have it as a name, and as a word of one.
        self._named = _holders((entry.title, *entry.keywords) for entry in self._entries)
        self._worded = _holders(entry.words for entry in self._entries)
        self._vocabulary = [term for term in {*self._named, *self._worded} if term.isascii()]

    def search(self, query: PlacesQuery) -> Found:
        """The best places, else (found False) the most popular ones."""
        typed = fold(query.query)
        ranks = self._ranks(typed, query.limit) if typed else {}
        if not ranks:
            return Found(found=False, places=[_scored(place, 0) for place in self._popular[: query.limit]])
        found = [_scored(self._entries[number].place, rank) for number, rank in ranks.items()]
        return Found(found=True, places=sorted(found, key=lambda place: (-place.score, place.slug))[: query.limit])

    def named(self, name: str) -> Place | None:
        """The place of this very name or keyword, if it is known where it lies."""
        typed = fold(name)
        hits = [
            _scored(entry.place, EXACT_TITLE if entry.title == typed else EXACT_KEYWORD)
            for entry in (self._entries[number] for number in self._named.get(typed, ()))
            if "latitude" in entry.place.metadata
        ]
        return min(hits, key=lambda place: (-place.score, place.slug), default=None)

    def _ranks(self, typed: str, limit: int) -> Mapping[int, int]:
        """The rank of each matching entry. A looser kind of match is looked for only while places are left to fill."""
        words = typed.split(" ")
        ranks = _found(_rank_as_typed(entry, typed) for entry in self._entries)
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

    def _with_typo(self, typed: str) -> dict[int, int]:
        ranks: dict[int, int] = {}
        for term in self._vocabulary:
            tier = typo_tier(typed, term)
            if tier:
                rank = ONE_TYPO + SAME_FIRST_LETTER * (term[0] == typed[0]) + SLIP * slipped(typed, term)
                for number in self._worded.get(term, ()):
                    ranks[number] = max(ranks.get(number, 0), rank)
                rank += WHOLE_NAME * (tier == _WHOLE)
                for number in self._named.get(term, ()):
                    name = TITLE if self._entries[number].title == term else NAME
                    ranks[number] = max(ranks.get(number, 0), rank + name)
        return ranks

    def _with_two_typos(self, typed: str) -> dict[int, int]:
        near = (
            term
            for term in {*self._named, *self._worded}
            if len(term) >= SHORTEST_WITH_TWO_TYPOS and abs(len(term) - len(typed)) <= 2 and edits(typed, term) <= 2  # noqa: PLR2004 - two
        )
        return {
            number: TWO_TYPOS for term in near for number in (*self._named.get(term, ()), *self._worded.get(term, ()))
        }

    def _holding(self, meant: Sequence[frozenset[str]], rank: int) -> dict[int, int]:
        return _found(rank if _holds(entry, meant) else 0 for entry in self._entries)

    def _meant(self, word: str, *, last: bool) -> frozenset[str]:
        """The words of the vocabulary that a typed word can mean, itself included."""
        wanted = (_BEGINNING, _WHOLE) if last else (_WHOLE,)
        return frozenset({word, *(known for known in self._worded if typo_tier(word, known) in wanted)})


def _entry(place: Place) -> _Entry:
    title, *keywords = (fold(name) for name in (place.title, *place.keywords))
    words = frozenset(word for name in (title, *keywords) for word in name.split())
    return _Entry(place, title, tuple(keywords), words, words | frozenset(fold(place.subtitle or "").split()))


def _holders(terms: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, held in enumerate(terms):
        for term in held:
            found.setdefault(term, []).append(number)
    return found


def _found(ranks: Iterable[int]) -> dict[int, int]:
    return {number: rank for number, rank in enumerate(ranks) if rank}


def _scored(place: Place, rank: int) -> Place:
    return replace(place, score=(rank + place.popularity) / 1000)


def _rank_as_typed(entry: _Entry, typed: str) -> int:
    if typed == entry.title:
        return EXACT_TITLE
    if typed in entry.keywords:
        return EXACT_KEYWORD
    if entry.title.startswith(typed) or any(name.startswith(typed) for name in entry.keywords):
        return BEGINS
    return WORDS if any(word.startswith(typed) for word in entry.words) else 0


def _holds(entry: _Entry, meant: Sequence[frozenset[str]]) -> bool:
    """Whether every typed word is a word of the place, the last one the beginning of one."""
    return all(not entry.all_words.isdisjoint(options) for options in meant[:-1]) and any(
        word.startswith(tuple(meant[-1])) for word in entry.all_words
    )


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
    same = 0
    while same < min(len(typed), len(term)) and typed[same] == term[same]:
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
