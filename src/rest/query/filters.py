"""Filters: `[not.]operator[(modifier)].value`, lists, and the values they carry."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from src.edge.limits import SERVICE
from src.rest.query.parsing import (
    Parser,
    Result,
    Steps,
    attempt,
    char,
    either,
    label,
    matching,
    maybe,
    none_of,
    not_followed_by,
    run,
    satisfy,
    separated1,
    sequence,
    string,
    success,
)
from src.rest.query.plan import Field, Filter, Operator
from src.rest.query.syntax import Syntax
from src.rest.query.tokens import delimiter, identifier, lexeme, quoted_value, unescaped

SIMPLE = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
QUANTIFIED = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")
FULL_TEXT = ("fts", "plfts", "phfts", "wfts")
CONSTANTS = ("null", "not_null", "true", "false", "unknown")


class Operation(NamedTuple):
    """An operator with its values as the client wrote them."""

    operator: Operator
    value: str | None = None
    language: str | None = None


def array_literal(items: list[str]) -> str:
    """Postgres's text form of an array of texts."""
    escaped = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in escaped) + "}"


def _word(*words: str) -> Parser[str]:
    return either(*(attempt(string(word)) for word in words))


def _any_case(word: str) -> Parser[str]:
    def letter(expected: str) -> Parser[str]:
        upper = expected.upper()
        return label(satisfy(lambda character: character in (expected, upper)), f'"{expected}"')

    letters = [letter(expected) for expected in word]

    @sequence
    def parse() -> Steps[str]:
        for expected in letters:  # noqa: UP028 - a list takes no value back
            yield expected
        return word

    return attempt(parse)


@sequence
def negation() -> Steps[bool]:
    yield string("not")
    yield delimiter
    return True


negated = either(attempt(negation), success(False))
opening, closing, comma = (lexeme(char(character)) for character in "(),")
single_value = matching(".*")
list_element = matching("[^,)]*")


end_of_element = not_followed_by(none_of(",)"))


@sequence
def list_element_quoted() -> Steps[str]:
    text: str = yield quoted_value
    yield end_of_element
    return text


# Elements with the comma and something behind it: all but the last. A quote only begins a quoted element when another
# one closes it.
QUOTED = r'"(?:[^"\\]++|\\.)*+"'
ELEMENT = re.compile(rf"(?:({QUOTED})|(?!{QUOTED}(?:[,)]|\Z))([^,)]*+)),", re.DOTALL)
ELEMENTS = re.compile(rf"(?:{ELEMENT.pattern})+(?=.)", re.DOTALL)
other_elements = separated1(either(attempt(list_element_quoted), list_element), char(","))


def list_elements(text: str, at: int) -> Result[list[str]]:
    """The elements of a list, fast for thousands."""
    run_of = ELEMENTS.match(text, at)
    if run_of is None:
        return other_elements(text, at)
    others = other_elements(text, run_of.end())
    if not others.ok:
        return others._replace(consumed=True)
    elements = [unescaped(quoted[1:-1]) or plain for quoted, plain in ELEMENT.findall(run_of[0])]
    return others._replace(consumed=True, value=elements + others.value)


@sequence
def list_value() -> Steps[str]:
    yield opening
    items: list[str] = yield list_elements
    yield closing
    return array_literal([] if items == [""] else items)


def _operator_then_dot(word: str) -> Parser[str]:
    @sequence
    def parse() -> Steps[str]:
        yield string(word)
        yield delimiter
        return word

    return attempt(parse)


@sequence
def language() -> Steps[str]:
    yield char("(")
    name: str = yield identifier
    yield char(")")
    return name


@sequence
def quantifier() -> Steps[str]:
    yield char("(")
    word: str = yield either(attempt(string("any")), string("all"))
    yield char(")")
    return word


in_dot, is_dot, isdistinct_dot = map(_operator_then_dot, ("in", "is", "isdistinct"))
constant_name = label(either(*map(_any_case, CONSTANTS)), "isVal: (null, not_null, true, false, unknown)")
full_text_name = _word(*FULL_TEXT)
simple_name = label(_word(*SIMPLE), "unknown single value operator")
quantified_name = label(_word(*QUANTIFIED), "unknown single value operator")
maybe_language, maybe_quantifier = maybe(attempt(language)), maybe(attempt(quantifier))


@sequence
def inside() -> Steps[tuple[Operator, str | None]]:
    yield in_dot
    items: str = yield list_value
    return Operator("in"), items


@sequence
def is_constant() -> Steps[tuple[Operator, str | None]]:
    yield is_dot
    constant: str = yield constant_name
    return Operator("is", constant=constant), None


def operation(value: Parser[str]) -> Parser[Operation]:
    """`[not.]operator.value` where `value` parses the operand of an operator that takes a single one."""

    @sequence
    def is_distinct() -> Steps[tuple[Operator, str | None]]:
        yield isdistinct_dot
        text: str = yield value
        return Operator("isdistinct"), text

    @sequence
    def full_text() -> Steps[tuple[Operator, str | None, str | None]]:
        name: str = yield full_text_name
        configuration: str | None = yield maybe_language
        yield delimiter
        text: str = yield value
        return Operator(name, has_language=configuration is not None), text, configuration

    @sequence
    def simple() -> Steps[tuple[Operator, str | None]]:
        name: str = yield simple_name
        yield delimiter
        text: str = yield value
        return Operator(name), text

    @sequence
    def quantified() -> Steps[tuple[Operator, str | None]]:
        name: str = yield quantified_name
        how: str | None = yield maybe_quantifier
        yield delimiter
        text: str = yield value
        return Operator(name, quantifier=how), text

    any_operator = label(
        either(inside, is_constant, is_distinct, attempt(full_text), attempt(simple), attempt(quantified)),
        "operator (eq, gt, ...)",
    )

    @sequence
    def whole() -> Steps[Operation]:
        negates: bool = yield negated
        parsed: tuple[Operator, str | None] | tuple[Operator, str | None, str | None] = yield any_operator
        operator, text, *configuration = parsed
        named = Operator(operator.name, negates, operator.quantifier, operator.constant, operator.has_language)
        if text is not None and operator.name in ("like", "ilike"):
            text = text.replace("*", "%")
        return Operation(named, text, *configuration)

    return whole


filter_operation = operation(single_value)

# The beginning of every operation.
BEGINNING = re.compile(rf"(?:not\.)?(?:in|is|isdistinct|{'|'.join((*SIMPLE, *QUANTIFIED, *FULL_TEXT))})[.(]")
PLAIN_OPERATORS = (*SIMPLE, *(name for name in QUANTIFIED if "like" not in name))
PREFIXES = tuple(f"{name}." for name in PLAIN_OPERATORS)


@cache
def plain_operator(prefix: str) -> Operator:
    name = prefix.removeprefix("not.")
    return Operator(name, negated=name != prefix)


def parse_operation(text: str) -> Operation:
    """`[not.]operator.value` of one query parameter. Raises Syntax.

    The commonest operators take everything after their dot, so they need no grammar.
    """
    start = 4 if text.startswith("not.") else 0
    if text.startswith(PREFIXES, start):
        dot = text.index(".", start)
        return Operation(plain_operator(text[:dot]), text[dot + 1 :])
    return run(filter_operation, f"failed to parse filter ({text})", text, SERVICE.terms)


def operation_in(text: str) -> Operation | None:
    """Like parse_operation, but None for other texts, which are arguments of a function."""
    try:
        return parse_operation(text) if BEGINNING.match(text) else None
    except Syntax:
        return None


def numbered(column: Field, parsed: Operation, values: list[str | int]) -> Filter:
    language = value = -1
    if parsed.language is not None:
        language = len(values)
        values.append(parsed.language)
    if parsed.value is not None:
        value = len(values)
        values.append(parsed.value)
    return Filter(column, parsed.operator, value, language)
