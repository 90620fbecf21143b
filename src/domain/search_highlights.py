"""Which parts of a place's texts answer what was typed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from src.domain.search import Place
from src.domain.search_folding import Word, origin, words
from src.domain.search_ranking import ONE_TYPO_FROM, TWO_TYPOS_FROM, edits, typo_tier

_Hit: TypeAlias = tuple[tuple[int, int], str]
_Search: TypeAlias = Callable[[str], list[_Hit]]


@dataclass(frozen=True, slots=True)
class Match:
    """Where a text answers: `ranges[i]` (start, length in code points) answers the typed word `terms[i]`.

    `index` tells which of the keywords it is.
    """

    field: str
    terms: Sequence[str]
    ranges: Sequence[tuple[int, int]]
    index: int | None = None


def highlights(place: Place, typed: Sequence[str]) -> list[Match]:
    """The parts of title, subtitle and keywords that answer the folded words of a query, in that order."""
    if not typed:
        return []
    found = list(_matches(place, lambda text: _by_word(text, typed)))
    return found or list(_matches(place, lambda text: _as_a_whole(text, " ".join(typed))))


def _matches(place: Place, search: _Search) -> Iterator[Match]:
    texts: list[tuple[str, int | None, str]] = [("title", None, place.title), ("subtitle", None, place.subtitle or "")]
    texts += [("keywords", number, keyword) for number, keyword in enumerate(place.keywords)]
    for name, index, text in texts:
        hits = sorted(search(text))
        if hits:
            yield Match(name, [term for _, term in hits], [span for span, _ in hits], index)


@lru_cache(maxsize=1024)
def _held(text: str) -> Sequence[Word]:
    """A text's words. The same few hundred texts of the catalogue are answered with again and again."""
    return tuple(words(text))


def _by_word(text: str, typed: Sequence[str]) -> list[_Hit]:
    held = _held(text)
    hits: dict[tuple[int, int], str] = {}
    for number, term in enumerate(typed, start=1):
        for word, length in _answering(held, term, last=number == len(typed)):
            hits.setdefault(origin(text, word, length), term)
    return list(hits.items())


def _answering(held: Sequence[Word], term: str, *, last: bool) -> list[tuple[Word, int]]:
    """The words that answer a typed one, with how many of their letters do; words with a typo only if none else."""
    exact = [(word, len(term)) for word in held if word.text == term or (last and word.text.startswith(term))]
    if exact or len(term) < ONE_TYPO_FROM:
        return exact
    wanted = (2, 3) if last else (3,)
    return [(word, len(word.text)) for word in held if typo_tier(term, word.text) in wanted]


def _as_a_whole(text: str, typed: str) -> list[_Hit]:
    """A name that only fits as a whole, or a word or name with two typos."""
    held = _held(text)
    if not held:
        return []
    whole = " ".join(word.text for word in held)
    if typo_tier(typed, whole) or _two_typos(typed, whole):
        start, _ = origin(text, held[0], 1)
        last_start, last_length = origin(text, held[-1], len(held[-1].text))
        return [((start, last_start + last_length - start), typed)]
    return [(origin(text, word, len(word.text)), typed) for word in held if _two_typos(typed, word.text)]


def _two_typos(typed: str, term: str) -> bool:
    return len(typed) >= TWO_TYPOS_FROM and abs(len(typed) - len(term)) <= 2 and edits(typed, term) <= 2  # noqa: PLR2004 - two
