"""Syntax errors in Parsec's words, because clients of PostgREST match them."""

from __future__ import annotations

import json
from typing import NamedTuple

TAB_STOP = 8


class Failure(NamedTuple):
    """What went wrong at `position`: `found` is the character the primitive parser met, empty at the end of the text.

    `met` is what a look-ahead rejected.
    """

    position: int
    found: tuple[str, ...] = ()
    met: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        return not (self.found or self.met or self.expected)


class Syntax(Exception):
    """Text that does not parse: `where`, and `what` was unexpected and expected there."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.where = where
        self.what = what


def syntax_error(name: str, text: str, failure: Failure) -> Syntax:
    """The failure with its place in `text`; `name` says what was being parsed."""
    *before, line_so_far = text[: failure.position].replace("\r", " ").split("\n")
    line, column = len(before) + 1, len(line_so_far.expandtabs(TAB_STOP)) + 1
    return Syntax(f'"{name}" (line {line}, column {column})', _wording(failure))


def _wording(failure: Failure) -> str:
    parts = []
    if failure.found and not failure.met:
        parts.append(f"unexpected {quoted(failure.found[0]) if failure.found[0] else 'end of input'}")
    if failure.met:
        parts.append(f"unexpected {_one_of(failure.met)}")
    if failure.expected:
        parts.append(f"expecting {_one_of(failure.expected)}")
    return " ".join(parts) or "unknown parse error"


def _one_of(words: tuple[str, ...]) -> str:
    distinct = list(dict.fromkeys(word for word in words if word))
    return " or ".join(filter(None, (", ".join(distinct[:-1]), *distinct[-1:])))


def merged(first: Failure, second: Failure) -> Failure:
    """The failure that got further, or both of two at the same place."""
    if second.silent and not first.silent:
        return first
    if first.silent and not second.silent:
        return second
    if first.position != second.position:
        return max(first, second, key=lambda failure: failure.position)
    return Failure(
        first.position,
        first.found + second.found,
        first.met + second.met,
        first.expected + second.expected,
    )


def quoted(text: str) -> str:
    """The text in double quotes, as Parsec writes it."""
    return json.dumps(text, ensure_ascii=False)
