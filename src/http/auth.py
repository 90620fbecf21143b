"""Who is calling: verified tokens, remembered until they expire (docs/api.md, Keys and tokens)."""

import json
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import jwt
from jwt.types import Options
from jwt.utils import base64url_decode, base64url_encode

from src.domain.context import Caller, Role
from src.domain.errors import CallerUnknown
from src.edge.json_size import require_modest_token
from src.edge.jwks import public_keys
from src.edge.limits import OF_BODIES
from src.edge.tokens import require_storable

FUTURE_LEEWAY_SECONDS = 30
REMEMBERED = 10_000
REMEMBERED_BYTES = 16 * 1024 * 1024
# What a remembered caller takes beside the texts of its tokens and claims.
ENTRY_BYTES = 1_000
MAX_TOKEN_LENGTH = 8_192
# Our keys are signed as that (`ecotrips token`), whoever else may sign with the secret.
OUR_ISSUER = "ecotrips"
# RFC 7515: three parts in base64url without padding. The library skips what is none of its letters.
TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)")
UNCHECKED: Options = {"verify_aud": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False}


Credentials = tuple[bytes | None, bytes | None]


class Authenticator:
    """Verifies tokens with any of the secrets (HS256) and, when given, a JWKS (RS256, ES256, EdDSA; `kid` honoured).

    The first secret is the one in use; the others are being rotated out. `jwks` is a path or the JSON text itself.
    Where `issuers` or `audiences` are given, a token of the JWKS has to name one of them: who publishes keys signs for
    others, too. One of the secret, which nobody else has, may name none, but no other. Raises ValueError as
    public_keys does.
    """

    def __init__(
        self, secrets: Sequence[str], jwks: str = "", issuers: Sequence[str] = (), audiences: Sequence[str] = ()
    ) -> None:
        self._secrets = tuple(filter(None, secrets))  # an empty one would verify anybody's token
        self._keys = public_keys(jwks) if jwks else []
        self._issuers = tuple(issuers)
        self._audiences = tuple(audiences)
        # By the tokens alone: a caller could have any number of entries by what may stand around them.
        self._known: OrderedDict[Credentials, tuple[Caller, float, int]] = OrderedDict()
        self._bytes = 0

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The bearer, else the apikey. Raises CallerUnknown when there is neither or either does not verify."""
        credentials = headers.get(b"authorization"), headers.get(b"apikey")
        known = self._known.get(credentials)
        if known is None:
            # Most clients write them so already.
            credentials = _bare(*credentials)
            known = self._known.get(credentials)
        if known is not None and known[1] > time.time():
            self._known.move_to_end(credentials)
            return known[0]
        caller, expires = self._verified(*credentials)
        self._remember(credentials, caller, expires)
        return caller

    def _remember(self, credentials: Credentials, caller: Caller, expires: float) -> None:
        self._forget(self._known.pop(credentials, None))
        size = ENTRY_BYTES + len(caller.claims) + sum(len(token) for token in credentials if token)
        self._known[credentials] = (caller, expires, size)
        self._bytes += size
        while len(self._known) > REMEMBERED or self._bytes > REMEMBERED_BYTES:
            self._forget(self._known.popitem(last=False)[1])

    def _forget(self, entry: tuple[Caller, float, int] | None) -> None:
        self._bytes -= entry[2] if entry is not None else 0

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
            _require_one_spelling(token)
            require_modest_token(token, OF_BODIES)
            return _caller(self._claims(token.decode("ascii")))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise CallerUnknown(INVALID) from None

    def _claims(self, token: str) -> dict[str, object]:
        for key, algorithm in self._keys_for(jwt.get_unverified_header(token)):
            with suppress(jwt.InvalidSignatureError):
                claims = jwt.decode(token, key, algorithms=[algorithm], options=UNCHECKED)
                self._require_meant_for_us(claims, ours=isinstance(key, str))
                return claims
        raise CallerUnknown(INVALID)

    def _require_meant_for_us(self, claims: Mapping[str, object], *, ours: bool) -> None:
        issuer, audience = claims.get("iss"), claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        by_us = ours and issuer in (None, OUR_ISSUER)
        if self._issuers and not by_us and issuer not in self._issuers:
            raise CallerUnknown(INVALID)
        for_nobody = ours and audience is None
        if self._audiences and not for_nobody and not any(name in self._audiences for name in named):
            raise CallerUnknown(INVALID)

    def _keys_for(self, header: Mapping[str, object]) -> Iterator[tuple[jwt.PyJWK | str, str]]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "HS256":
            yield from ((secret, "HS256") for secret in self._secrets)
        for key in self._keys:
            if key.algorithm_name == algorithm and (kid is None or key.key_id is None or key.key_id == kid):
                yield key, key.algorithm_name


BEARER = b"Bearer "
INVALID = "The token is invalid or expired"


def _bare(authorization: bytes | None, apikey: bytes | None) -> Credentials:
    """The tokens without what may stand around them."""
    if authorization is not None:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            message = "Authorization must be a Bearer token"
            raise CallerUnknown(message)
        authorization = BEARER + token.strip()
    return authorization, apikey.strip() if apikey is not None else None


def _require_one_spelling(token: bytes) -> None:
    """Raises ValueError for what verifies like the token of a signature and is not spelled like it."""
    found = TOKEN.fullmatch(token)
    if found is None or base64url_encode(base64url_decode(found[1])) != found[1]:
        raise ValueError


def _caller(claims: Mapping[str, object]) -> tuple[Caller, float]:
    require_storable(claims)
    role = Role(str(claims.get("role")))
    expires = claims.get("exp")
    for name in ("nbf", "iat"):
        moment = claims.get(name)
        if moment is not None and float(str(moment)) > time.time() + FUTURE_LEEWAY_SECONDS:
            raise CallerUnknown(INVALID)
    user_id = None
    if role is Role.USER:
        if not isinstance(expires, int | float):
            raise CallerUnknown(INVALID)
        user_id = _subject(claims.get("sub"))
    elif claims.get("sub") not in (None, ""):
        # PostgreSQL reads it, whoever it is of.
        _subject(claims["sub"])
    caller = Caller(role, json.dumps(claims), user_id)
    return caller, float(expires) if isinstance(expires, int | float) else float("inf")


def _subject(claim: object) -> UUID:
    """Raises ValueError for what is no UUID as everybody spells it: the library takes more than PostgreSQL."""
    found = UUID(str(claim))
    if str(found) != str(claim).lower():
        raise ValueError
    return found
