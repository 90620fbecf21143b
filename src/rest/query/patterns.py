"""Estimates the size of the NFA that PostgreSQL builds for a regular expression, with repetitions expanded.

It has a state for each character, and arcs from each to all that may follow; of a sequence of optional parts, from each
to each.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# `\c` takes whatever is next with it, also a bracket.
ESCAPE = r"\\(?:c.|.)"
# Classes within brackets. An unclosed set extends to the end of the expression.
NAMED = r"\[(?P<kind>[.=:]).*?(?:(?P=kind)\]|\Z)"
SET = rf"\[\^?+\]?+(?:{ESCAPE}|{NAMED}|[^\]])*+(?:\]|\Z)"
# Tokens in PostgreSQL's order (regc_lex.c), which refuses counts above 255.
TOKEN = re.compile(
    rf"(?P<reference>\\[1-9])|(?P<class>\\[dswDSW])|(?P<place>\\[AmMyYZ]|[$^]|\[\[:[<>]:]])|{ESCAPE}|(?P<set>{SET})|(?P<comment>\(\?#)|(?P<open>\((?:\?<?[:=!])?)"
    r"|\{0*(?P<minimum>\d{1,4})(?P<to>,0*(?P<maximum>\d{0,4}))?\}\??|(?P<often>[*+?])\??|(?P<any>\.)|.",
    re.DOTALL,
)
# A prefix may choose another syntax or the extended form.
DIRECTOR = "***"
OPTIONS = re.compile(r"\(\?([A-Za-z]+)")
# Of which case is, and where lines end.
HARMLESS = frozenset("cimnpstw")
# A back reference makes matching exponential, whatever the length of the pattern.
AS_MANY = 1000
# So many arcs cost about as much as one state.
ARCS = 4
# A set has an arc for each kind of character in it that the expression tells apart; so many are counted at most.
KINDS = 32
# Ignoring case, characters beyond ASCII are folded one by one.
FOLDED = 1024
ESCAPED = re.compile(r"\\[uUx]([0-9A-Fa-f]+)")
# PostgreSQL tries conditions of a place (`^`, `\y`, lookarounds) in every order and for every kind of character, so
# each pair counts as so many states, and far more in a repeated part.
PLACES = 30
# An element of an array as PostgreSQL reads it; the quoting in it; the blanks around it.
ELEMENT = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\\.|[^",{}\\])+', re.DOTALL)
QUOTING = re.compile(r'\\(.)|"', re.DOTALL)
BLANKS = " \t\n\v\f\r"


class OtherSyntax(Exception):
    """The expression has a comment, or chooses another syntax."""


class Part(NamedTuple):
    """Of an expression: its states, its arcs, the arcs that lead into it, the states it may end in.

    `empty` where it may be left out; `places` are its conditions of a place.
    """

    states: int = 0
    arcs: int = 0
    first: int = 0
    last: int = 0
    empty: bool = True
    places: int = 0

    def then(self, part: Part) -> Part:
        return Part(
            self.states + part.states,
            self.arcs + part.arcs + self.last * part.first,
            self.first + (part.first if self.empty else 0),
            part.last + (self.last if part.empty else 0),
            self.empty and part.empty,
            self.places + part.places,
        )

    def either(self, part: Part) -> Part:
        return Part(
            self.states + part.states,
            self.arcs + part.arcs,
            self.first + part.first,
            self.last + part.last,
            self.empty or part.empty,
            self.places + part.places,
        )

    def repeated(self, minimum: int, maximum: int) -> Part:
        """`maximum` copies in a row, of which `minimum` have to be there."""
        followed = maximum * (maximum - 1) // 2 if self.empty else maximum - 1
        return Part(
            self.states * maximum,
            self.arcs * maximum + followed * self.last * self.first,
            self.first * (maximum if self.empty else 1),
            self.last * (maximum if self.empty else maximum - min(minimum, maximum) + 1),
            self.empty or not minimum,
            self.places * (AS_MANY if maximum > 1 else 1),
        )

    def looped(self) -> Part:
        """Repeated any number of times."""
        return self._replace(arcs=self.arcs + self.last * self.first, places=self.places * AS_MANY)


class _Machine:
    """What was read of an expression: `row` since the last bracket or `|`, `others` before that, `last` to repeat."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, Part, Part | None]] = []
        self.others: Part | None = None
        self.row = self.last = Part()

    def put(self, part: Part) -> None:
        self.row, self.last = self.row.then(self.last), part

    def choose(self) -> None:
        self.others = self._either()
        self.row, self.last = Part(), Part(1)

    def open(self, bracket: str) -> None:
        self.opened.append((bracket, self.row.then(self.last), self.others))
        self.row, self.last, self.others = Part(), Part(), None

    def close(self) -> None:
        group = self._either()
        bracket, self.row, self.others = self.opened.pop()
        # What is looked at around a place is one condition there.
        self.last = group if bracket in ("(", "(?:") else Part(group.states, group.arcs, 1, 1, True, group.places + 1)

    def whole(self) -> Part:
        while self.opened:
            self.close()
        return self._either()

    def _either(self) -> Part:
        row = self.row.then(self.last)
        return self.others.either(row) if self.others else row


def states(pattern: str, *, folded: bool = False) -> int:
    """At most so many, for any pattern, `folded` where case is nothing; linear in its length. Raises OtherSyntax."""
    options = _options(pattern)
    folded = folded or "i" in options
    kinds = 1 + len(pattern) // KINDS
    ends = ((0, 1), (len(pattern) - 1, len(pattern)))
    machine = _Machine()
    factor, widths = 1, 0
    for token in TOKEN.finditer(pattern):
        if token["comment"]:
            raise OtherSyntax
        if token["minimum"] or token["often"]:
            machine.last = _repeated(machine.last, token)
        elif token["open"]:
            machine.open(token[0])
        elif token[0] == ")" and machine.opened:
            machine.close()
        elif token[0] == "|":
            machine.choose()
        else:
            arcs = kinds if token["set"] or token["class"] or (token["any"] and options) else 1
            # Where the whole expression begins or ends is no condition that anything meets in another order.
            place = bool(token["place"]) and token.span() not in ends
            machine.put(Part(arcs, 0, arcs, 1, place, int(place)))
            factor = AS_MANY if token["reference"] else factor
            widths += _width(token[0]) if folded and token["set"] else 0
    whole = machine.whole()
    orders = whole.places * (whole.places - 1) * kinds**2 * PLACES
    return max(whole.states + widths, whole.arcs // ARCS, orders) * factor


def _options(pattern: str) -> str:
    options = OPTIONS.match(pattern)
    if pattern.startswith(DIRECTOR) or (options and not HARMLESS.issuperset(options[1])):
        raise OtherSyntax
    return options[1] if options else ""


def _repeated(part: Part, token: re.Match[str]) -> Part:
    if token["often"]:
        minimum, maximum = int(token["often"] == "+"), 1 if token["often"] == "?" else 0
    else:
        minimum = int(token["minimum"])
        maximum = int(token["maximum"] or 0) if token["to"] else max(minimum, 1)
    if token["often"]:
        # A brace that begins no count is a character.
        part = part._replace(states=part.states + 1)
    if maximum:
        return part.repeated(minimum, max(minimum, maximum))
    if minimum == 1:
        # PostgreSQL has a group that has to be there behind those that may.
        return part.repeated(2, 2).looped()
    return part.repeated(minimum, max(minimum, 1)).looped()


def _width(of: str) -> int:
    """How much there is to fold in a set's ranges: as if each went to the last character that is named in it."""
    named = [int(digits, 16) for digits in ESCAPED.findall(of)]
    return of.count("-") * (min(max(named + [ord(letter) for letter in of]), 0x10FFFF) // FOLDED)


def states_of_array(literal: str, *, folded: bool = False) -> int:
    """The states of all elements of an array of patterns, in PostgreSQL's text form. Raises OtherSyntax."""
    elements = [QUOTING.sub(r"\1", element.strip(BLANKS)) for element in ELEMENT.findall(literal)]
    return sum([states(element, folded=folded) for element in elements])
