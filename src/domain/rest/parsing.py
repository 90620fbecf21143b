"""Parser combinators whose failures read like Parsec's, because clients of PostgREST see and match that text.

A parser is a function from (text, position) to a Result. A failure carries the furthest position reached and what was
unexpected and expected there. `sequence` builds a parser from a generator: `name = yield field_name`. What it yields
is best made once, outside of it: making a parser costs more than most texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from functools import cache, wraps
from typing import Any, Generic, NamedTuple, TypeVar

from src.domain.rest.syntax import Failure, Syntax, merged, quoted, syntax_error

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


def run(parser: Parser[Value], name: str, text: str) -> Value:
    """What `parser` makes of `text`. Raises Syntax with Parsec's wording; `name` says what was being parsed."""
    try:
        result = parser(text, 0)
    except RecursionError:
        where = f'"{name}" (line 1, column 1)'
        raise Syntax(where, "nested too deeply") from None
    if result.ok:
        return result.value
    raise syntax_error(name, text, result.failure)


def _failed(position: int, failure: Failure, *, consumed: bool = False) -> Result[Any]:
    return Result(False, consumed, None, position, failure)


def success(value: Value) -> Parser[Value]:
    return lambda _text, at: Result(True, False, value, at, Failure(at))


def nothing(_text: str, at: int) -> Result[Any]:
    """Always fails, with nothing to say."""
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
    """As long a text as the regular expression matches, which may be empty: many characters in one step."""
    compiled = re.compile(pattern, re.DOTALL)

    def parse(text: str, at: int) -> Result[str]:
        match = compiled.match(text, at)
        end_of_match = at if match is None else match.end()
        failure = Failure(end_of_match, found=(text[end_of_match : end_of_match + 1],))
        return Result(True, end_of_match > at, text[at:end_of_match], end_of_match, failure)

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
        return result._replace(failure=result.failure._replace(expected=names))

    return parse


def attempt(parser: Parser[Value]) -> Parser[Value]:
    """A failure of `parser` counts as not having consumed anything, so that the next alternative is tried."""

    def parse(text: str, at: int) -> Result[Value]:
        result = parser(text, at)
        return result if result.ok else result._replace(consumed=False, position=at)

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
                return result._replace(failure=failure)
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
            position = result.position

    return parse


def many1(parser: Parser[Value]) -> Parser[list[Value]]:
    @sequence
    def parse() -> Steps[list[Value]]:
        first = yield parser
        rest = yield many(parser)
        return [first, *rest]

    return parse


def text_of(parser: Parser[list[str]]) -> Parser[str]:
    return mapped(parser, "".join)


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

    @sequence
    def parse() -> Steps[list[Value]]:
        first = yield parser
        rest = yield many(following)
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
