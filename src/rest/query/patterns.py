"""How large a machine PostgreSQL makes of a regular expression, and keeps: repetitions are written out in it."""

from __future__ import annotations

import math
import re

# An escaped character, a set, a count of repetitions, or any other character. PostgreSQL refuses counts above 255.
TOKEN = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\{0*(?P<least>\d{1,4})(?:,0*(?P<most>\d{0,4}))?\}|.", re.DOTALL)
# What begins so may say that counts are written in another way.
OPTIONS = ("(?", "***")
# Whoever refers to a group has every way tried to take a text apart: no length of a pattern bounds that.
REFERENCE = re.compile(r"\\[1-9]")
AS_MANY = 1000
NUMBER = re.compile(r"0*(\d{1,4})")
# Between the digits of a count, too, where options say that blanks and comments are none of the expression.
COMMENT = re.compile(r"#[^\n]*|\(\?#[^)]*\)")
BLANKS = re.compile(r"\s+")
# An element of an array as PostgreSQL reads it, and what in it is no part of its text.
ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\\.|[^",{}\\])+', re.DOTALL)
QUOTING = re.compile(r'\\(.)|"', re.DOTALL)


def states(pattern: str) -> int:
    """At most so many, for any pattern; linear in its length."""
    if pattern.startswith(OPTIONS):
        readings = (BLANKS.sub("", text) for text in (pattern, COMMENT.sub("", pattern)))
        return max(len(text) * _all_counts(text) for text in readings) * (AS_MANY if REFERENCE.search(pattern) else 1)
    opened: list[int] = []
    size = last = 0
    factor = 1
    for token in TOKEN.finditer(pattern):
        if token["least"] is not None:
            times = max(int(token["least"]), int(token["most"] or 0), 1)
            size += last * (times - 1)
            last *= times
        elif token[0] == "(":
            opened.append(size)
            size = last = 0
        elif token[0] == ")" and opened:
            last = size
            size += opened.pop()
        else:
            size += 1
            last = 1
            if REFERENCE.match(token[0]):
                factor = AS_MANY
    return (size + sum(opened)) * factor


def states_of_array(literal: str) -> int:
    """The same of all elements of an array of them, in PostgreSQL's text form."""
    return sum([states(QUOTING.sub(r"\1", element).strip()) for element in ELEMENT.findall(literal)])


def _all_counts(text: str) -> int:
    return math.prod([max(int(number), 1) for number in NUMBER.findall(text)])
