"""How large a machine PostgreSQL makes of a regular expression, and keeps: repetitions are written out in it."""

from __future__ import annotations

import math
import re

# An escaped character, a set, a count of repetitions, or any other character. PostgreSQL refuses counts above 255.
TOKEN = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\{0*(?P<least>\d{1,4})(?:,0*(?P<most>\d{0,4}))?\}|.", re.DOTALL)
# What begins so may say that counts are written in another way.
OPTIONS = ("(?", "***")
NUMBER = re.compile(r"0*(\d{1,4})")


def states(pattern: str) -> int:
    """At most so many, for any pattern; linear in its length."""
    if pattern.startswith(OPTIONS):
        return len(pattern) * math.prod(max(int(number), 1) for number in NUMBER.findall(pattern))
    opened: list[int] = []
    size = last = 0
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
    return size + sum(opened)
