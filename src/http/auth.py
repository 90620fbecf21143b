"""Who is calling: verified tokens, remembered until they expire (API.md section 1, Who is calling)."""

import json
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import jwt
from jwt.types import Options

from src.domain.context import Caller, Role
from src.domain.errors import CallerUnknown
from src.domain.json_size import require_modest, require_modest_token
from src.domain.limits import OF_BODIES, OF_PROVIDERS

ALGORITHMS_OF_KEYS = ("RS256", "ES256", "EdDSA")
FUTURE_LEEWAY_SECONDS = 30
REMEMBERED = 10_000
LONGEST_TOKEN = 8_192
UNCHECKED: Options = {"verify_aud": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False}


class Authenticator:
    """Verifies tokens with any of the secrets (HS256) and, when given, a JWKS (RS256, ES256, EdDSA; `kid` honoured).

    The first secret is the one in use; the others are being rotated out. `jwks` is a path or the JSON text itself.
    """

    def __init__(self, secrets: Sequence[str], jwks: str = "") -> None:
        self._secrets = tuple(filter(None, secrets))  # an empty one would verify anybody's token
        self._keys = _keys(jwks)
        self._known: OrderedDict[tuple[bytes | None, bytes | None], tuple[Caller, float]] = OrderedDict()

    def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The bearer, else the apikey. Raises CallerUnknown when there is neither or either does not verify."""
        credentials = headers.get(b"authorization"), headers.get(b"apikey")
        known = self._known.get(credentials)
        if known is not None and known[1] > time.time():
            self._known.move_to_end(credentials)
            return known[0]
        caller, expires = self._verified(*credentials)
        self._known[credentials] = (caller, expires)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return caller

    def _verified(self, authorization: bytes | None, apikey: bytes | None) -> tuple[Caller, float]:
        """Who calls, until when both are valid (Unix time in seconds)."""
        if authorization is None:
            if apikey is None:
                message = "An apikey or a bearer token is required"
                raise CallerUnknown(message)
            return self._key(apikey)
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            message = "Authorization must be a Bearer token"
            raise CallerUnknown(message)
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
        if len(token) > LONGEST_TOKEN:
            raise CallerUnknown(INVALID)
        token = token.strip()
        try:
            require_modest_token(token, OF_BODIES)
            return _caller(self._claims(token.decode("ascii")))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise CallerUnknown(INVALID) from None

    def _claims(self, token: str) -> dict[str, object]:
        for key, algorithm in self._keys_for(jwt.get_unverified_header(token)):
            with suppress(jwt.InvalidSignatureError):
                return jwt.decode(token, key, algorithms=[algorithm], options=UNCHECKED)
        raise CallerUnknown(INVALID)

    def _keys_for(self, header: Mapping[str, object]) -> Iterator[tuple[jwt.PyJWK | str, str]]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "HS256":
            yield from ((secret, "HS256") for secret in self._secrets)
        for key in self._keys:
            if key.algorithm_name == algorithm and (kid is None or key.key_id is None or key.key_id == kid):
                yield key, key.algorithm_name


INVALID = "The token is invalid or expired"


def _caller(claims: Mapping[str, object]) -> tuple[Caller, float]:
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
        user_id = UUID(str(claims.get("sub")))
    caller = Caller(role, json.dumps(claims), user_id)
    return caller, float(expires) if isinstance(expires, int | float) else float("inf")


def _keys(jwks: str) -> list[jwt.PyJWK]:
    if not jwks:
        return []
    text = jwks if jwks.lstrip().startswith("{") else Path(jwks).read_text()
    require_modest(text.encode(), OF_PROVIDERS)
    return [key for key in jwt.PyJWKSet.from_json(text).keys if key.algorithm_name in ALGORITHMS_OF_KEYS]
