"""How deep and how large a JSON text is, told before anything is made of it, in linear time and little memory."""

from __future__ import annotations

import base64
from itertools import accumulate
from typing import NoReturn

from src.edge.limits import JsonLimits

# What opens counts one up, what closes one down: as signed bytes 1 and -1.
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
BLANKS = b" \t\r\n"
MARKS = b"[]{},"
# Everything else is part of a value, whatever it is.
TOKENS = bytes(code if code in MARKS else ord("0") for code in range(256))


class JsonTooLarge(ValueError):
    """The text is deeper or holds more than it may; the message says which limit it meets."""


def require_modest(text: bytes, limits: JsonLimits) -> None:
    """Raises JsonTooLarge for UTF-8 JSON beyond `limits`; whether it is JSON at all is the parser's to say.

    An object with too many keys is told by the parser, too (`require_few`): where objects end cannot be counted.
    """
    opened = text.count(b"[") + text.count(b"{")
    if opened <= limits.depth and (
        # An element takes two bytes of a list.
        len(text) <= 2 * limits.values or opened + text.count(b",") <= limits.values
    ):
        return
    marks = _without_texts(text, limits).translate(TOKENS, BLANKS)
    opened = marks.count(b"[") + marks.count(b"{")
    empty = marks.count(b"[]") + marks.count(b"{}")
    # All but the outermost of what opens is itself a value.
    if marks.count(b",") + opened - empty > limits.values or opened > limits.values + 1:
        raise JsonTooLarge(_too_many(limits))
    steps = memoryview(marks.translate(STEPS, b",0")).cast("b")
    if max(accumulate(steps), default=0) > limits.depth:
        message = f"JSON may be nested at most {limits.depth} deep"
        raise JsonTooLarge(message)


def require_modest_token(token: bytes, limits: JsonLimits) -> None:
    """The same of a JWT's header and claims, before a library reads them. Raises ValueError for what is no base64."""
    for part in token.split(b".", 2)[:2]:
        require_modest(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)), limits)


def require_few(keys: int, limits: JsonLimits) -> None:
    """Raises JsonTooLarge for an object with too many keys."""
    if keys > limits.keys:
        message = f"A JSON object may have at most {limits.keys:,} keys"
        raise JsonTooLarge(message)


def refuse_constant(name: str) -> NoReturn:
    """What Python's parser takes for numbers and RFC 8259 does not: a decoder's `parse_constant`."""
    message = f"{name} is not JSON"
    raise ValueError(message)


def _without_texts(text: bytes, limits: JsonLimits) -> bytes:
    """The text with 0 in place of each string."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A value has at most one string before it, its key, and is at most one itself.
    if plain.count(b'"') > 4 * limits.values + 2:
        raise JsonTooLarge(_too_many(limits))
    return b"0".join(plain.split(b'"')[::2])


def _too_many(limits: JsonLimits) -> str:
    return f"JSON may hold at most {limits.values:,} values"
