"""Folds texts for comparison: without case, accents, apostrophes and punctuation.

The same as catalog.fold() in SQL, plus the positions in the original, for highlights.
"""

import re
import unicodedata
from dataclasses import dataclass

LETTERS = str.maketrans("ςłøđðħıŋĸØŁĐÐĦŊÆŒÞẞ", "σlodðhinkoldðhnæœþß")  # noqa: RUF001 - Greek is meant
PAIRS = {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"}
# Combining marks of Latin, Greek, Cyrillic, Hebrew and Arabic.
MARK = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0670\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"
    "\ufe20-\ufe2f"
)
MARKS = re.compile(f"[{MARK}]+")
DROPPED = re.compile(f"[{MARK}'`\u02b9-\u02bf\u2018\u2019]")
PARTING = re.compile(
    r"[\u0001-/:-@\[-_{-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2000-\u206f\u3000-\u3003\u060c]"
)


@dataclass(frozen=True, slots=True)
class Word:
    """One folded word of a text; `starts[i]` is where its letter i comes from in the original, in code points."""

    text: str
    starts: tuple[int, ...]


def fold(text: str) -> str:
    """The folded words of a text, joined by spaces."""
    return " ".join(word.text for word in words(text))


def words(text: str) -> list[Word]:
    """The folded words of a text with their positions."""
    found: list[Word] = []
    letters: list[str] = []
    starts: list[int] = []
    for position, original in enumerate(text):
        for letter in _folded(original):
            if PARTING.match(letter):
                _end_word(found, letters, starts)
            else:
                letters.append(letter)
                starts.append(position)
    _end_word(found, letters, starts)
    return found


def origin(text: str, word: Word, length: int) -> tuple[int, int]:
    """Start and length in `text`, in code points, of a folded word's first `length` letters, marks included."""
    start = word.starts[0]
    end = word.starts[length - 1] + 1
    marks = MARKS.match(text, end)
    return start, (marks.end() if marks else end) - start


def _folded(letter: str) -> str:
    if "a" <= letter <= "z":
        return letter
    lowered = unicodedata.normalize("NFKD", letter).lower().translate(LETTERS)
    return DROPPED.sub("", "".join(PAIRS.get(part, part) for part in lowered))


def _end_word(found: list[Word], letters: list[str], starts: list[int]) -> None:
    if letters:
        found.append(Word("".join(letters), tuple(starts)))
        letters.clear()
        starts.clear()
