"""What both ways in ask of a token (RFC 7519), whatever its claims mean to them, and what they remember of it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

import jwt
from jwt.utils import base64url_decode, base64url_encode

from src.edge.json_size import require_modest_token
from src.edge.jwks import Key
from src.edge.limits import OF_BODIES

REMEMBERED_BYTES = 16 * 1024 * 1024
# What a remembered token takes beside its text and that of its claims.
ENTRY_BYTES = 1_000
# RFC 7515: three parts in base64url without padding, the last one empty where nobody signed.
TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]*)")

Token = TypeVar("Token")
Meaning = TypeVar("Meaning")


class NotVerified(ValueError):
    """No key verifies the signature, which is of `algorithm` by the token's own word."""

    def __init__(self, algorithm: object) -> None:
        super().__init__()
        self.algorithm = algorithm


class ClaimsUnusable(ValueError):
    """The signature holds, and the claims are no object that PostgreSQL's jsonb can hold."""


def verified(token: bytes, keys: Sequence[Key]) -> tuple[Key, dict[str, object]]:
    """The key that a token is signed with, and its claims.

    Where the token names a key, only keys of that name are tried, or those without any name where none has it. Raises
    NotVerified, ClaimsUnusable, JsonTooLarge, or another ValueError for what is no token.
    """
    found = TOKEN.fullmatch(token)
    # Many spellings of a signature would verify.
    if found is None or base64url_encode(base64url_decode(found[1])) != found[1]:
        raise ValueError
    require_modest_token(token, OF_BODIES)
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise ValueError from None
    algorithm, kid = header.get("alg"), header.get("kid")
    named = [key for key in keys if kid is not None and key.kid == kid]
    for key in named or [key for key in keys if kid is None or key.kid is None]:
        if algorithm in key.algorithms:
            with suppress(jwt.PyJWTError, ValueError, TypeError):
                payload = jwt.api_jws.decode(token, key.material, algorithms=key.algorithms)
                break
    else:
        raise NotVerified(algorithm)
    return key, _claims(payload)


def _claims(payload: bytes) -> dict[str, object]:
    """What jsonb cannot hold is NUL, half a character and a number beyond all."""
    try:
        claims = json.loads(payload)
        text = json.dumps(claims, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise ClaimsUnusable from None
    if not isinstance(claims, dict) or "\\u0000" in text.replace("\\\\", ""):
        raise ClaimsUnusable
    return claims


class Remembered(OrderedDict[Token, tuple[Meaning, int]]):
    """What verified tokens mean, and its size: of at most `most` tokens and REMEMBERED_BYTES, those used last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.bytes = 0
        self.evictions = 0

    def recall(self, token: Token) -> Meaning | None:
        """What a remembered token means, which is then used last."""
        found = self.get(token)
        if found is None:
            return None
        self.move_to_end(token)
        return found[0]

    def remember(self, token: Token, meaning: Meaning, texts: int) -> None:
        """Keep it, where needed in the place of others. `texts` are the bytes of the token and of what it means."""
        size = ENTRY_BYTES + texts
        self.bytes += size - self.pop(token, (meaning, 0))[1]
        self[token] = meaning, size
        while len(self) > self.most or self.bytes > REMEMBERED_BYTES:
            self.bytes -= self.popitem(last=False)[1][1]
            self.evictions += 1
