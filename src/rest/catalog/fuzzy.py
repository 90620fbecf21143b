"""Nearest names for hints: cosine similarity of letter grams, then edit distance, as in the FuzzySet algorithm."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from src.edge.limits import MAX_NAME_LENGTH

GRAM_SIZES = (3, 2)
CANDIDATES = 50
NOT_A_WORD = re.compile(r"[^\w, ]+")
# Bounds the cost of a hint: there is none among more names, or for a longer one.
MAX_KNOWN = 500
MAX_LENGTH = 4 * MAX_NAME_LENGTH


def nearest(name: str, known: Iterable[str], minimum: float = 0.33) -> str | None:
    """The most similar known name, None when none scores at least `minimum` (0 … 1)."""
    best = scored(name, known, minimum)
    return best[0][1] if best else None


def scored(name: str, known: Iterable[str], minimum: float = 0.33) -> list[tuple[float, str]]:
    """Known names with their scores, best first."""
    candidates = sorted({candidate for candidate in known if len(candidate) <= MAX_LENGTH})
    if len(name) > MAX_LENGTH or len(candidates) > MAX_KNOWN:
        return []
    exact = [candidate for candidate in candidates if candidate.lower() == name.lower()]
    if exact:
        return [(1.0, candidate) for candidate in exact]
    for size in GRAM_SIZES:
        grams = _grams(name, size)
        norm = _norm(grams)
        similar = []
        for candidate in candidates:
            other = _grams(candidate, size)
            shared = sum(count * other[gram] for gram, count in grams.items() if gram in other)
            if shared:
                similar.append((shared / (norm * _norm(other)), candidate))
        similar.sort(key=lambda pair: -pair[0])
        ranked = [
            (1 - edit_distance(name.lower(), c.lower()) / max(len(name), len(c)), c) for _, c in similar[:CANDIDATES]
        ]
        kept = sorted(((score, c) for score, c in ranked if score >= minimum), key=lambda pair: -pair[0])
        if kept:
            return kept
    return []


def _grams(text: str, size: int) -> Counter[str]:
    padded = f"-{NOT_A_WORD.sub('', text.lower())}-"
    padded = padded.ljust(size, "-")
    return Counter(padded[start : start + size] for start in range(len(padded) - size + 1))


def _norm(grams: Counter[str]) -> float:
    return math.sqrt(sum(count * count for count in grams.values()))


def edit_distance(first: str, second: str) -> int:
    """The Levenshtein distance, a column of its table at once as the bits of a number (Myers 1999, Hyyrö 2003)."""
    places: dict[str, int] = {}
    for place, character in enumerate(first):
        places[character] = places.get(character, 0) | 1 << place
    everywhere = (1 << len(first)) - 1
    last = (1 << len(first)) >> 1
    rises, falls, distance = everywhere, 0, len(first)
    for character in second:
        same = places.get(character, 0)
        level = (((same & rises) + rises) ^ rises) | same
        up, down = falls | everywhere & ~(level | rises), rises & level
        distance += bool(up & last) - bool(down & last) if first else 1
        up, down = up << 1 | 1, down << 1
        steep = same | falls
        rises, falls = everywhere & (down | ~(steep | up)), up & steep
    return distance
