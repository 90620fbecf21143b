"""Finds the parts of a place's texts that match a query."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from src.domain.search import Place
from src.domain.search_folding import Word, origin, words

_Hit: TypeAlias = tuple[tuple[int, int], str]
_Search: TypeAlias = Callable[[str], list[_Hit]]


@dataclass(frozen=True, slots=True)
class Match:
    """Matching ranges of a text: `ranges[i]` (start, length in code points) matches `terms[i]`.

    `index` is the keyword's.
    """

    field: str
    terms: Sequence[str]
    ranges: Sequence[tuple[int, int]]
    index: int | None = None


def highlights(place: Place, typed: Sequence[str]) -> list[Match]:
    """The parts of title, subtitle and keywords that answer the folded words of a query, in that order."""
    spellings: set[tuple[str, str]] = set()
    wholes: list[tuple[str, list[str]]] = []
    for whole, term in place.meant:
        said, meant = whole.split(), term.split()
        if len(said) == len(meant):
            spellings.update(zip(said, meant, strict=True))
        else:
            wholes.append((whole, meant))
    found = list(_matches(place, lambda text: _by_word(text, typed, spellings)))
    return found or list(_matches(place, lambda text: _as_a_whole(text, wholes)))


def _matches(place: Place, search: _Search) -> Iterator[Match]:
    texts: list[tuple[str, int | None, str]] = [("title", None, place.title), ("subtitle", None, place.subtitle or "")]
    texts += [("keywords", number, keyword) for number, keyword in enumerate(place.keywords)]
    for name, index, text in texts:
        hits = sorted(search(text))
        if hits:
            yield Match(name, [term for _, term in hits], [span for span, _ in hits], index)


@lru_cache(maxsize=1024)
def _held(text: str) -> Sequence[Word]:
    """A text's words, cached because the catalogue has few texts."""
    return tuple(words(text))


def _by_word(text: str, typed: Sequence[str], spellings: AbstractSet[tuple[str, str]]) -> list[_Hit]:
    """The words that match a typed word; words with a typo only if none matches exactly."""
    held = _held(text)
    hits: dict[tuple[int, int], str] = {}
    for number, term in enumerate(typed, start=1):
        last = number == len(typed)
        exact = [(word, len(term)) for word in held if word.text == term or (last and word.text.startswith(term))]
        for word, length in exact or [(word, len(word.text)) for word in held if (term, word.text) in spellings]:
            hits.setdefault(origin(text, word, length), term)
    return list(hits.items())


def _as_a_whole(text: str, wholes: Sequence[tuple[str, list[str]]]) -> list[_Hit]:
    """Matches across words, where a space is the typo."""
    held = _held(text)
    hits: dict[tuple[int, int], str] = {}
    for whole, meant in wholes:
        for at in range(len(held) - len(meant) + 1):
            part = held[at : at + len(meant)]
            if [word.text for word in part] == meant:
                start, _ = origin(text, part[0], 1)
                last, length = origin(text, part[-1], len(part[-1].text))
                hits.setdefault((start, last + length - start), whole)
    return list(hits.items())
