"""Tokens of the grammars: names, quoted values, JSON paths. The labels are PostgREST's words."""

from __future__ import annotations

from typing import TypeVar

from src.rest.query.parsing import (
    Parser,
    Steps,
    any_char,
    attempt,
    char,
    counted,
    either,
    end,
    hastened,
    label,
    look_ahead,
    many,
    many1,
    mapped,
    matching,
    matching1,
    memoized,
    named,
    none_of,
    not_followed_by,
    one_of,
    optional,
    satisfy,
    separated1,
    sequence,
    skipped,
    string,
    text_of,
)
from src.rest.query.plan import Field, JsonStep

Value = TypeVar("Value")

MAX_INDEX_LENGTH = 12

blanks = matching("[ \t]*")
delimiter = label(char("."), "delimiter (.)")
digit = label(satisfy(lambda character: character in "0123456789"), "digit")
identifier_char = either(
    label(satisfy(str.isalpha), "letter"),
    digit,
    one_of("_ $"),
)
# Of an identifier's characters those that are the same in every alphabet, and no blank: at the ends those do not count.
PLAIN = "[A-Za-z0-9_$]++"
letters = hastened("[A-Za-z0-9_ $]++", text_of(many1(identifier_char)))
identifier: Parser[str] = named(mapped(letters, str.strip))


def lexeme(parser: Parser[Value]) -> Parser[Value]:
    @sequence
    def parse() -> Steps[Value]:
        yield blanks
        value: Value = yield parser
        yield blanks
        return value

    return parse


@sequence
def escaped() -> Steps[str]:
    yield char("\\")
    character: str = yield any_char
    return character


def unescaped(text: str) -> str:
    """Without backslash escapes. NUL, which no request contains, marks backslashes that stay."""
    return text.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") if "\\" in text else text


quoted_characters = skipped(r'(?:[^\\"]++|\\.)*+', unescaped, text_of(many(either(none_of('\\"'), escaped))))


@sequence
def quoted_value() -> Steps[str]:
    yield char('"')
    text: str = yield quoted_characters
    yield char('"')
    return text


@sequence
def dash() -> Steps[str]:
    character: str = yield char("-")
    yield not_followed_by(char(">"))
    return character


def separated_by_dash(parser: Parser[str]) -> Parser[str]:
    return mapped(separated1(parser, attempt(dash)), "-".join)


field_name = memoized(
    label(
        named(either(quoted_value, hastened(rf"{PLAIN}(?:-{PLAIN})*(?=-{PLAIN})", separated_by_dash(identifier)))),
        "field name (* or [a..z0..9_$])",
    )
)
KEY_CHARACTER = r"[^(\-:.,>)]"
json_key_part: Parser[str] = mapped(matching1(f"{KEY_CHARACTER}+"), str.strip)
# All parts but the last in one step.
json_key_parts = skipped(
    f"(?:{KEY_CHARACTER}++-(?={KEY_CHARACTER}))*+",
    lambda text: "-".join(map(str.strip, text.split("-"))),
    separated_by_dash(json_key_part),
)
json_key = label(either(quoted_value, json_key_parts), "any non reserved character different from: .,>()")
digits = hastened("[0-9]++", text_of(many1(digit)))
json_index_end = either(*(attempt(look_ahead(string(text))) for text in ("->", "::", ".", ",")), attempt(end))


@sequence
def json_index() -> Steps[int]:
    sign: str = yield optional(char("-"), "+")
    number: str = yield digits
    yield json_index_end
    # Longer numbers are out of range anyway.
    return int(sign + number[:MAX_INDEX_LENGTH])


@sequence
def json_step() -> Steps[JsonStep]:
    arrow: str = yield either(attempt(string("->>")), attempt(string("->")))
    key: str | int = yield either(attempt(json_index), attempt(json_key))
    return JsonStep(key, arrow == "->>")


json_path = many(counted(json_step))


@sequence
def plain_field() -> Steps[Field]:
    name: str = yield field_name
    path: list[JsonStep] = yield optional(json_path, [])
    return Field(name, tuple(path))


field = lexeme(plain_field)
