"""How large a machine PostgreSQL makes of a regular expression, and keeps: repetitions are written out in it."""

from __future__ import annotations

import re

# `\c` takes whatever is next with it, also a bracket.
ESCAPE = r"\\(?:c.|.)"
# What a set may name between its brackets; whoever leaves a set open has it end with the expression.
NAMED = r"\[(?P<kind>[.=:]).*?(?:(?P=kind)\]|\Z)"
SET = rf"\[\^?+\]?+(?:{ESCAPE}|{NAMED}|[^\]])*+(?:\]|\Z)"
# As PostgreSQL reads them one after the other (regc_lex.c); it refuses counts above 255.
TOKEN = re.compile(
    rf"(?P<reference>\\[1-9])|{ESCAPE}|(?P<set>{SET})|(?P<comment>\(\?#)|(?P<open>\((?:\?<?[:=!])?)"
    r"|\{0*(?P<least>\d{1,4})(?:,0*(?P<most>\d{0,4}))?\}|.",
    re.DOTALL,
)
# What it begins with may say that it is of another syntax, or that blanks are none of it.
DIRECTOR = "***"
OPTIONS = re.compile(r"\(\?([A-Za-z]+)")
# Of which case is, and where lines end.
HARMLESS = frozenset("cimnpstw")
# Whoever refers to a group has every way tried to take a text apart: no length of a pattern bounds that.
AS_MANY = 1000
# An element of an array as PostgreSQL reads it, what in it is no part of its text, and what is none around it.
ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\\.|[^",{}\\])+', re.DOTALL)
QUOTING = re.compile(r'\\(.)|"', re.DOTALL)
BLANKS = " \t\n\v\f\r"


class OtherSyntax(Exception):
    """The expression has a comment, or begins with what changes how it is read."""


def states(pattern: str) -> int:
    """At most so many, for any pattern; linear in its length. Raises OtherSyntax."""
    options = OPTIONS.match(pattern)
    if pattern.startswith(DIRECTOR) or (options and not HARMLESS.issuperset(options[1])):
        raise OtherSyntax
    opened: list[int] = []
    size = last = 0
    factor = 1
    for token in TOKEN.finditer(pattern):
        if token["comment"]:
            raise OtherSyntax
        if token["least"] is not None:
            times = max(int(token["least"]), int(token["most"] or 0), 1)
            size += last * (times - 1)
            last *= times
        elif token["open"]:
            opened.append(size)
            size = last = 0
        elif token[0] == ")" and opened:
            last = size
            size += opened.pop()
        else:
            size += 1
            last = 1
            if token["reference"]:
                factor = AS_MANY
    return (size + sum(opened)) * factor


def states_of_array(literal: str) -> int:
    """The same of all elements of an array of them, in PostgreSQL's text form. Raises OtherSyntax."""
    return sum([states(QUOTING.sub(r"\1", element.strip(BLANKS))) for element in ELEMENT.findall(literal)])
