"""Filters: `[not.]operator[(modifier)].value`, lists, logic trees, and the values they carry."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from src.domain.rest.grammar import CACHED_TEXTS, parse_logic_path
from src.domain.rest.parsing import (
    Parser,
    Result,
    Steps,
    any_char,
    attempt,
    char,
    either,
    label,
    many,
    maybe,
    none_of,
    not_followed_by,
    run,
    satisfy,
    separated1,
    sequence,
    string,
    success,
    text_of,
)
from src.domain.rest.plan import Condition, Field, Filter, Logic, Operator, Path
from src.domain.rest.syntax import Syntax
from src.domain.rest.tokens import delimiter, field, identifier, lexeme, quoted_value

SIMPLE = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
QUANTIFIED = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")
FULL_TEXT = ("fts", "plfts", "phfts", "wfts")
CONSTANTS = ("null", "not_null", "true", "false", "unknown")


class Operation(NamedTuple):
    """An operator with its values as the client wrote them."""

    operator: Operator
    value: str | None = None
    language: str | None = None


class RawFilter(NamedTuple):
    """A filter inside a logic tree, its values still in place."""

    field: Field
    operation: Operation


class RawLogic(NamedTuple):
    operator: str
    parts: tuple[RawFilter | RawLogic, ...]
    negated: bool


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

    @sequence
    def parse() -> Steps[str]:
        for expected in word:
            yield letter(expected)
        return word

    return attempt(parse)


@sequence
def negation() -> Steps[bool]:
    yield string("not")
    yield delimiter
    return True


negated = either(attempt(negation), success(False))
single_value = text_of(many(any_char))


@sequence
def list_element_quoted() -> Steps[str]:
    text: str = yield quoted_value
    yield not_followed_by(none_of(",)"))
    return text


@sequence
def list_value() -> Steps[str]:
    yield lexeme(char("("))
    items: list[str] = yield separated1(either(attempt(list_element_quoted), text_of(many(none_of(",)")))), char(","))
    yield lexeme(char(")"))
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


@sequence
def inside() -> Steps[tuple[Operator, str | None]]:
    yield _operator_then_dot("in")
    items: str = yield list_value
    return Operator("in"), items


@sequence
def is_constant() -> Steps[tuple[Operator, str | None]]:
    yield _operator_then_dot("is")
    constant: str = yield label(either(*map(_any_case, CONSTANTS)), "isVal: (null, not_null, true, false, unknown)")
    return Operator("is", constant=constant), None


def operation(value: Parser[str]) -> Parser[Operation]:
    """`[not.]operator.value` where `value` parses the operand of an operator that takes a single one."""

    @sequence
    def is_distinct() -> Steps[tuple[Operator, str | None]]:
        yield _operator_then_dot("isdistinct")
        text: str = yield value
        return Operator("isdistinct"), text

    @sequence
    def full_text() -> Steps[tuple[Operator, str | None, str | None]]:
        name: str = yield _word(*FULL_TEXT)
        configuration: str | None = yield maybe(attempt(language))
        yield delimiter
        text: str = yield value
        return Operator(name, has_language=configuration is not None), text, configuration

    @sequence
    def simple() -> Steps[tuple[Operator, str | None]]:
        name: str = yield label(_word(*SIMPLE), "unknown single value operator")
        yield delimiter
        text: str = yield value
        return Operator(name), text

    @sequence
    def quantified() -> Steps[tuple[Operator, str | None]]:
        name: str = yield label(_word(*QUANTIFIED), "unknown single value operator")
        how: str | None = yield maybe(attempt(quantifier))
        yield delimiter
        text: str = yield value
        return Operator(name, quantifier=how), text

    @sequence
    def whole() -> Steps[Operation]:
        negates: bool = yield negated
        parsed: tuple[Operator, str | None] | tuple[Operator, str | None, str | None] = yield label(
            either(inside, is_constant, is_distinct, attempt(full_text), attempt(simple), attempt(quantified)),
            "operator (eq, gt, ...)",
        )
        operator, text, *configuration = parsed
        named = Operator(operator.name, negates, operator.quantifier, operator.constant, operator.has_language)
        if text is not None and operator.name in ("like", "ilike"):
            text = text.replace("*", "%")
        return Operation(named, text, *configuration)

    return whole


@sequence
def array_in_braces() -> Steps[str]:
    opening: str = yield string("{")
    items: list[str] = yield many(none_of("{}"))
    closing: str = yield string("}")
    return opening + "".join(items) + closing


logic_value = either(attempt(list_element_quoted), attempt(array_in_braces), text_of(many(none_of(",)"))))
logic_operation = operation(logic_value)
filter_operation = operation(single_value)


@sequence
def logic_filter() -> Steps[RawFilter]:
    column: Field = yield field
    yield delimiter
    parsed: Operation = yield logic_operation
    return RawFilter(column, parsed)


@sequence
def logic_expression() -> Steps[RawLogic]:
    negates: bool = yield label(either(attempt(negation), success(False)), "negation operator (not)")
    operator: str = yield label(either(attempt(string("and")), string("or")), "logic operator (and, or)")
    yield lexeme(char("("))
    parts: list[RawFilter | RawLogic] = yield separated1(logic_tree, lexeme(char(",")))
    yield lexeme(char(")"))
    return RawLogic(operator, tuple(parts), negates)


def logic_tree(text: str, at: int) -> Result[RawFilter | RawLogic]:
    """A filter or a nested expression; a function because the rule refers to itself."""
    return _logic_tree(text, at)


_logic_tree: Parser[RawFilter | RawLogic] = either(attempt(logic_filter), logic_expression)

# What every operation begins with.
BEGINNING = re.compile(rf"(?:not\.)?(?:in|is|isdistinct|{'|'.join((*SIMPLE, *QUANTIFIED, *FULL_TEXT))})[.(]")
PREFIXES = tuple(f"{name}." for name in (*SIMPLE, *(name for name in QUANTIFIED if "like" not in name)))


@lru_cache(CACHED_TEXTS)
def _plain(prefix: str) -> Operator:
    name = prefix.removeprefix("not.")
    return Operator(name, negated=name != prefix)


def parse_operation(text: str) -> Operation:
    """`[not.]operator.value` of one query parameter. Raises Syntax.

    The commonest operators take everything after their dot, so they need no grammar.
    """
    start = 4 if text.startswith("not.") else 0
    if text.startswith(PREFIXES, start):
        dot = text.index(".", start)
        return Operation(_plain(text[:dot]), text[dot + 1 :])
    return run(filter_operation, f"failed to parse filter ({text})", text)


def operation_in(text: str) -> Operation | None:
    """The same, None where there is none: an argument of a function, mostly told from a filter by how it begins."""
    try:
        return parse_operation(text) if BEGINNING.match(text) else None
    except Syntax:
        return None


@lru_cache(CACHED_TEXTS)
def parse_logic(key: str, text: str) -> tuple[Path, RawLogic]:
    """A logic tree and the embedded resource it applies to. Raises Syntax."""
    path, operator = parse_logic_path(key)
    tree = run(_logic_tree, f"failed to parse logic tree ({text})", operator + text)
    return path, tree if isinstance(tree, RawLogic) else RawLogic("and", (tree,), False)


def number_values(node: RawFilter | RawLogic, values: list[str | int]) -> Condition:
    """The same tree with its values appended to `values` and referred to by position."""
    if isinstance(node, RawLogic):
        return Logic(node.operator, tuple(number_values(part, values) for part in node.parts), node.negated)
    return numbered(node.field, node.operation, values)


def numbered(column: Field, parsed: Operation, values: list[str | int]) -> Filter:
    language = value = -1
    if parsed.language is not None:
        language = len(values)
        values.append(parsed.language)
    if parsed.value is not None:
        value = len(values)
        values.append(parsed.value)
    return Filter(column, parsed.operator, value, language)
