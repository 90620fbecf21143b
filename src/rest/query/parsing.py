"""Parser combinators whose failures read like Parsec's, because clients of PostgREST see and match that text.

A parser is a function from (text, position) to a Result. A failure carries the furthest position reached and what was
unexpected and expected there. `sequence` builds a parser from a generator: `name = yield field_name`. What it yields
is best made once, outside of it, because making a parser is slow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import Any, Generic, NamedTuple, TypeVar

from src.edge.limits import MAX_NAME_LENGTH, USER, too_long
from src.rest.query.syntax import Failure, Syntax, merged, quoted, syntax_error

CACHED_TEXTS = 2048
MAX_CACHED_LENGTH = 256
# Shorter runs are as fast one by one.
MIN_SKIPPED = 2

Value = TypeVar("Value")
Other = TypeVar("Other")
Given_co = TypeVar("Given_co", covariant=True)


class Result(NamedTuple, Generic[Given_co]):
    """`consumed` decides whether an alternative may still be tried, as in Parsec."""

    ok: bool
    consumed: bool
    value: Given_co
    position: int
    failure: Failure


Parser = Callable[[str, int], Result[Value]]


class TooMany(Exception):
    """The text has more terms than may be parsed."""


class TooLong(Exception):
    """A name longer than PostgreSQL's limit."""


class TooDeep(Exception):
    """The text is nested too deep."""


@dataclass(slots=True)
class _Budget:
    """What may still be parsed. It is global, as parsers do not run concurrently.

    `repetitions` counts parts of a name, and is unbounded outside of names.
    """

    terms: int = 0
    levels: int = 0
    repetitions: float = math.inf


_BUDGET = _Budget()


def run(parser: Parser[Value], name: str, text: str, max_terms: int) -> Value:
    """The value that `parser` reads from `text`; the caller counts its terms exactly.

    Raises TooMany, TooLong, and Syntax with Parsec's wording; `name` says what was being parsed.
    """
    _BUDGET.terms, _BUDGET.levels, _BUDGET.repetitions = max_terms + 1, USER.nesting, math.inf
    try:
        result = parser(text, 0)
    except TooDeep:
        where = f'"{name}" (line 1, column 1)'
        raise Syntax(where, "nested too deeply") from None
    if result.ok:
        return result.value
    raise syntax_error(name, text, result.failure)


def parse_cached(parser: Parser[Value], name: str, text: str, max_terms: int) -> Value:
    """Like `run`; the results of short texts are cached."""
    if len(text) > MAX_CACHED_LENGTH:
        return run(parser, name, text, max_terms)
    value: Value = _once(parser, name, text)
    return value


@lru_cache(CACHED_TEXTS)
def _once(parser: Parser[Any], name: str, text: str) -> Any:  # noqa: ANN401 - as many types as parsers
    return run(parser, name, text, MAX_CACHED_LENGTH)


def _failed(position: int, failure: Failure, *, consumed: bool = False) -> Result[Any]:
    return Result(False, consumed, None, position, failure)


def success(value: Value) -> Parser[Value]:
    return lambda _text, at: Result(True, False, value, at, Failure(at))


def nothing(_text: str, at: int) -> Result[Any]:
    """A parser that always fails without a message."""
    return _failed(at, Failure(at))


def satisfy(accepts: Callable[[str], bool]) -> Parser[str]:
    def parse(text: str, at: int) -> Result[str]:
        if at < len(text) and accepts(text[at]):
            return Result(True, True, text[at], at + 1, Failure(at + 1))
        return _failed(at, Failure(at, found=(text[at : at + 1],)))

    return parse


@cache
def char(expected: str) -> Parser[str]:
    return label(satisfy(lambda character: character == expected), quoted(expected))


def none_of(characters: str) -> Parser[str]:
    return satisfy(lambda character: character not in characters)


def one_of(characters: str) -> Parser[str]:
    return satisfy(lambda character: character in characters)


any_char: Parser[str] = satisfy(lambda _character: True)


def matching(pattern: str) -> Parser[str]:
    """The longest text that the regular expression matches, possibly empty, in one step."""
    compiled = re.compile(pattern, re.DOTALL)

    def parse(text: str, at: int) -> Result[str]:
        match = compiled.match(text, at)
        end_of_match = at if match is None else match.end()
        failure = Failure(end_of_match, found=(text[end_of_match : end_of_match + 1],))
        return Result(True, end_of_match > at, text[at:end_of_match], end_of_match, failure)

    return parse


def matching1(pattern: str) -> Parser[str]:
    """Like matching, but at least one character."""
    parse_longest = matching(pattern)

    def parse(text: str, at: int) -> Result[str]:
        result = parse_longest(text, at)
        return result if result.consumed else _failed(at, result.failure)

    return parse


@cache
def string(expected: str) -> Parser[str]:
    wanted = quoted(expected)

    def parse(text: str, at: int) -> Result[str]:
        if text.startswith(expected, at):
            return Result(True, True, expected, at + len(expected), Failure(at + len(expected)))
        common = 0
        while at + common < len(text) and text[at + common] == expected[common]:
            common += 1
        found = text[at + common : at + common + 1]
        return _failed(at, Failure(at, found=(found,), expected=(wanted,)), consumed=common > 0)

    return parse


def label(parser: Parser[Value], *names: str) -> Parser[Value]:
    """Name what was expected where `parser` fails without having consumed anything."""

    def parse(text: str, at: int) -> Result[Value]:
        result = parser(text, at)
        if result.consumed or (result.ok and result.failure.silent):
            return result
        ok, consumed, value, position, (furthest, found, met, _) = result
        return Result(ok, consumed, value, position, Failure(furthest, found, met, names))

    return parse


def attempt(parser: Parser[Value]) -> Parser[Value]:
    """A failure of `parser` counts as not having consumed anything, so that the next alternative is tried."""

    def parse(text: str, at: int) -> Result[Value]:
        result = parser(text, at)
        return result if result.ok else _failed(at, result.failure)

    return parse


def look_ahead(parser: Parser[Value]) -> Parser[Value]:
    def parse(text: str, at: int) -> Result[Value]:
        result = parser(text, at)
        return Result(True, False, result.value, at, Failure(at)) if result.ok else result

    return parse


def either(*parsers: Parser[Value]) -> Parser[Value]:
    """The first alternative that succeeds; one that fails after consuming ends the search."""

    def parse(text: str, at: int) -> Result[Value]:
        failure = Failure(at)
        for parser in parsers:
            result = parser(text, at)
            if result.consumed:
                return result
            failure = merged(failure, result.failure)
            if result.ok:
                return Result(True, False, result.value, result.position, failure)
        return _failed(at, failure)

    return parse


def optional(parser: Parser[Value], default: Other) -> Parser[Value | Other]:
    return either(parser, success(default))


def maybe(parser: Parser[Value]) -> Parser[Value | None]:
    return optional(parser, None)


def not_followed_by(parser: Parser[str], show: Callable[[str], str] = quoted) -> Parser[None]:
    def parse(text: str, at: int) -> Result[None]:
        result = parser(text, at)
        if result.ok:
            return _failed(at, Failure(at, met=(show(result.value),)))
        return Result(True, False, None, at, Failure(at))

    return parse


end: Parser[None] = label(not_followed_by(any_char, lambda character: f"'{character}'"), "end of input")


def many(parser: Parser[Value]) -> Parser[list[Value]]:
    """Zero or more. Raises TooLong within a name."""

    def parse(text: str, at: int) -> Result[list[Value]]:
        values: list[Value] = []
        position = at
        while True:
            result = parser(text, position)
            if not result.ok:
                if result.consumed:
                    return _failed(at, result.failure, consumed=True)
                return Result(True, position > at, values, position, result.failure)
            values.append(result.value)
            _BUDGET.repetitions -= 1
            if _BUDGET.repetitions < 0:
                raise TooLong
            position = result.position

    return parse


def named(parser: Parser[str]) -> Parser[str]:
    """`parser`, which reads a name. Raises TooLong.

    All repetitions inside of it together are bounded by the bytes of a name.
    """

    def parse(text: str, at: int) -> Result[str]:
        outside = _BUDGET.repetitions
        # A nested name has the same budget.
        _BUDGET.repetitions = min(outside, MAX_NAME_LENGTH)
        result = parser(text, at)
        if outside > MAX_NAME_LENGTH:
            _BUDGET.repetitions = outside
        if result.ok and too_long(result.value):
            raise TooLong
        return result

    return parse


def many1(parser: Parser[Value]) -> Parser[list[Value]]:
    others = many(parser)

    @sequence
    def parse() -> Steps[list[Value]]:
        first = yield parser
        rest = yield others
        return [first, *rest]

    return parse


def text_of(parser: Parser[list[str]]) -> Parser[str]:
    return mapped(parser, "".join)


def hastened(pattern: str, parser: Parser[str]) -> Parser[str]:
    """`parser`, which takes the characters that the regular expression matches one by one, from the last of them on.

    The last one it takes itself, so a failure behind it reads as it always does.
    """
    compiled = re.compile(pattern)

    def parse(text: str, at: int) -> Result[str]:
        match = compiled.match(text, at)
        if match is None or match.end() - at < MIN_SKIPPED:
            return parser(text, at)
        last = match.end() - 1
        result = parser(text, last)
        return result._replace(value=text[at:last] + result.value) if result.ok else result

    return parse


def shortcut(pattern: str, value_of: Callable[[re.Match[str]], Value], parser: Parser[Value]) -> Parser[Value]:
    """What `parser` would make of what the regular expression matches, in one step; anything else is left to it.

    The pattern ends before what is taken next in any case: then no message tells of what else might have followed.
    """
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str, at: int) -> Result[Value]:
        match = compiled.match(text, at)
        if match is None:
            return parser(text, at)
        return Result(True, True, value_of(match), match.end(), Failure(match.end()))

    return parse


def skipped(pattern: str, value_of: Callable[[str], str], parser: Parser[str]) -> Parser[str]:
    """What `parser` would make of what the regular expression matches, and what it makes of the rest itself."""
    compiled = re.compile(pattern, re.DOTALL)

    def parse(text: str, at: int) -> Result[str]:
        match = compiled.match(text, at)
        end_of_match = at if match is None else match.end()
        result = parser(text, end_of_match)
        if not result.ok:
            return _failed(at, result.failure, consumed=result.consumed or end_of_match > at)
        value = value_of(text[at:end_of_match]) + result.value
        return Result(True, result.consumed or end_of_match > at, value, result.position, result.failure)

    return parse


def memoized(parser: Parser[Value]) -> Parser[Value]:
    """`parser`, whose results at each position are kept for alternatives that begin with it, too."""
    of: str | None = None
    known: dict[int, Result[Value]] = {}

    def parse(text: str, at: int) -> Result[Value]:
        nonlocal of
        if text is not of:
            of = text
            known.clear()
        result = known.get(at)
        if result is None:
            result = known[at] = parser(text, at)
        return result

    return parse


def counted(parser: Parser[Value]) -> Parser[Value]:
    """`parser`, whose successes are terms. Raises TooMany."""

    def parse(text: str, at: int) -> Result[Value]:
        result = parser(text, at)
        if result.ok:
            _BUDGET.terms -= 1
            if _BUDGET.terms < 0:
                raise TooMany
        return result

    return parse


def inside(parser: Parser[Value]) -> Parser[Value]:
    """`parser` one level deeper. Raises TooDeep."""

    def parse(text: str, at: int) -> Result[Value]:
        if not _BUDGET.levels:
            raise TooDeep
        _BUDGET.levels -= 1
        result = parser(text, at)
        _BUDGET.levels += 1
        return result

    return parse


def mapped(parser: Parser[Value], change: Callable[[Value], Other]) -> Parser[Other]:
    def parse(text: str, at: int) -> Result[Other]:
        result = parser(text, at)
        if not result.ok:
            return _failed(result.position, result.failure, consumed=result.consumed)
        return Result(True, result.consumed, change(result.value), result.position, result.failure)

    return parse


def separated1(parser: Parser[Value], separator: Parser[Any]) -> Parser[list[Value]]:
    @sequence
    def following() -> Steps[Value]:
        yield separator
        value: Value = yield parser
        return value

    others = many(following)

    @sequence
    def parse() -> Steps[list[Value]]:
        first = yield parser
        rest = yield others
        return [first, *rest]

    return parse


def separated(parser: Parser[Value], separator: Parser[Any]) -> Parser[list[Value]]:
    nothing: list[Value] = []
    return either(separated1(parser, separator), success(nothing))


# What a generator of parsers yields and is sent is typed by its author, step by step.
Steps = Generator[Parser[Any], Any, Value]


def sequence(steps: Callable[[], Steps[Value]]) -> Parser[Value]:
    """A parser of several steps: each parser that `steps` yields is run, and its value is sent back."""

    @wraps(steps)
    def parse(text: str, at: int) -> Result[Value]:
        generator = steps()
        position, consumed, failure = at, False, Failure(at)
        value: object = None
        while True:
            try:
                parser = generator.send(value)
            except StopIteration as stop:
                returned: Value = stop.value
                return Result(True, consumed, returned, position, failure)
            result = parser(text, position)
            failure = result.failure if result.consumed else merged(failure, result.failure)
            consumed = consumed or result.consumed
            if not result.ok:
                generator.close()
                return _failed(at, failure, consumed=consumed)
            value, position = result.value, result.position

    return parse
