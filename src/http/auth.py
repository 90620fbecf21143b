"""Finds the caller from its tokens and caches verified ones until they expire (docs/api.md, Keys and tokens)."""

import json
import time
from collections.abc import Mapping, Sequence
from math import inf
from uuid import UUID

from src.domain.context import Caller, Role
from src.domain.errors import CallerUnknown
from src.edge.jwks import Key, public_keys
from src.edge.tokens import TokenCache, verified

FUTURE_LEEWAY_SECONDS = 30
CACHE_SIZE = 10_000
MAX_TOKEN_LENGTH = 8_192
# The issuer in tokens that `ecotrips token` signs.
OUR_ISSUER = "ecotrips"

Credentials = tuple[bytes | None, bytes | None]


class Authenticator:
    """Verifies tokens with any of the secrets (HS256) and, when given, a JWKS (RS256, ES256, EdDSA; `kid` honoured).

    The first secret is the one in use; the others are being rotated out. `jwks` is a path or the JSON text itself.
    Where `issuers` or `audiences` are given, a token of the JWKS has to name one of them, because its issuer also signs
    for other services. A token of the secret may name none, but no other one. Raises ValueError as public_keys does.
    """

    def __init__(
        self, secrets: Sequence[str], jwks: str = "", issuers: Sequence[str] = (), audiences: Sequence[str] = ()
    ) -> None:
        # An empty secret would verify anybody's token.
        self._secrets = [Key(("HS256",), secret.encode()) for secret in secrets if secret]
        self._keys = self._secrets + (public_keys(jwks) if jwks else [])
        self._issuers = tuple(issuers)
        self._audiences = tuple(audiences)
        # The key is the tokens without scheme and blanks, so that spellings of one token share an entry.
        self._cache: TokenCache[Credentials, tuple[Caller, float]] = TokenCache(CACHE_SIZE)

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The bearer, else the apikey. Raises CallerUnknown when there is neither or either does not verify."""
        credentials = headers.get(b"authorization"), headers.get(b"apikey")
        known = self._cache.find(credentials)
        if known is None:
            # Tried second, because most clients send the bare form already.
            credentials = _bare(*credentials)
            known = self._cache.find(credentials)
        if known is not None and known[1] > time.time():
            return known[0]
        caller, expires = self._verified(*credentials)
        size = len(caller.claims) + sum(len(token) for token in credentials if token)
        self._cache.store(credentials, (caller, expires), size)
        return caller

    def _verified(self, authorization: bytes | None, apikey: bytes | None) -> tuple[Caller, float]:
        """Who calls, until when both are valid (Unix time in seconds)."""
        if authorization is None:
            if apikey is None:
                message = "An apikey or a bearer token is required"
                raise CallerUnknown(message)
            return self._key(apikey)
        token = authorization.removeprefix(BEARER)
        bearer, expires = self._verify(token)
        if apikey is not None and apikey != token:
            expires = min(expires, self._key(apikey)[1])
        return bearer, expires

    def _key(self, apikey: bytes) -> tuple[Caller, float]:
        caller, expires = self._verify(apikey)
        if caller.role is Role.USER:
            message = "A user's token is not an apikey"
            raise CallerUnknown(message)
        return caller, expires

    def _verify(self, token: bytes) -> tuple[Caller, float]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise CallerUnknown(INVALID)
        try:
            key, claims = verified(token, self._keys)
            self._require_meant_for_us(claims, ours=key in self._secrets)
            return _caller(claims)
        except (ValueError, OverflowError):
            raise CallerUnknown(INVALID) from None

    def _require_meant_for_us(self, claims: Mapping[str, object], *, ours: bool) -> None:
        issuer, audience = claims.get("iss"), claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        by_us = ours and issuer in (None, OUR_ISSUER)
        if self._issuers and not by_us and issuer not in self._issuers:
            raise CallerUnknown(INVALID)
        for_nobody = ours and audience is None
        if self._audiences and not for_nobody and not any(name in self._audiences for name in named):
            raise CallerUnknown(INVALID)


BEARER = b"Bearer "
INVALID = "The token is invalid or expired"


def _bare(authorization: bytes | None, apikey: bytes | None) -> Credentials:
    """The tokens without scheme and blanks."""
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            message = "Authorization must be a Bearer token"
            raise CallerUnknown(message)
        authorization = BEARER + token.strip()
    return authorization, apikey.strip() if apikey is not None else None


def _caller(claims: Mapping[str, object]) -> tuple[Caller, float]:
    role = Role(str(claims.get("role")))
    expires = claims.get("exp", inf)
    if not isinstance(expires, int | float) or expires <= time.time() or (role is Role.USER and expires == inf):
        raise CallerUnknown(INVALID)
    for name in ("nbf", "iat"):
        timestamp = claims.get(name)
        if timestamp is not None and float(str(timestamp)) > time.time() + FUTURE_LEEWAY_SECONDS:
            raise CallerUnknown(INVALID)
    user_id = None
    if role is Role.USER:
        user_id = _subject(claims.get("sub"))
    elif claims.get("sub") not in (None, ""):
        # PostgreSQL reads every claim, so all have to be valid.
        _subject(claims["sub"])
    return Caller(role, json.dumps(claims), user_id), float(expires)


def _subject(claim: object) -> UUID:
    """Raises ValueError for anything but a canonical UUID, because the library accepts more than PostgreSQL."""
    found = UUID(str(claim))
    if str(found) != str(claim).lower():
        raise ValueError
    return found
