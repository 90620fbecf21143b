"""Links to objects: JWTs under keys of their own, which open objects and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import jwt

from src.domain.storage import Link, LinkExpired, LinkMismatched, LinkRefused, ObjectName, StoredObject
from src.edge.json_size import require_within_jwt
from src.edge.limits import OF_BODIES

SCOPE = "download"
MAX_TOKEN_LENGTH = 4096


class SignedLinks:
    """HS256 under `secrets` (key id to secret): the first signs, all verify.

    `clock` gives seconds since the epoch.
    """

    def __init__(self, secrets: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._secrets = dict(secrets)
        self._signing = next(iter(secrets))
        self._clock = clock

    def sign(self, stored: StoredObject, lifetime: timedelta) -> Link:
        now = int(self._clock())
        expires = now + int(lifetime.total_seconds())
        link_id = str(uuid4())
        token = jwt.encode(
            {"url": str(stored.name), "scope": SCOPE, "v": stored.version, "jti": link_id, "iat": now, "exp": expires},
            self._secrets[self._signing],
            algorithm="HS256",
            headers={"kid": self._signing},
        )
        path = f"/object/sign/{quote(str(stored.name))}?token={token}"
        return Link(path, link_id, datetime.fromtimestamp(expires, UTC))

    def opened(self, name: ObjectName, token: str) -> tuple[str, str]:
        claims = self._verified(token)
        expires, url, scope = claims.get("exp"), claims.get("url"), claims.get("scope")
        if not isinstance(expires, int) or self._clock() >= expires:
            raise LinkExpired
        if url != str(name) or scope != SCOPE:
            raise LinkMismatched
        return str(claims.get("jti")), str(claims.get("v"))

    def _verified(self, token: str) -> Mapping[str, object]:
        try:
            if len(token) > MAX_TOKEN_LENGTH:
                raise jwt.InvalidTokenError
            require_within_jwt(token.encode(), OF_BODIES)
            secret = self._secrets[str(jwt.get_unverified_header(token).get("kid"))]
            # The library's clock cannot be replaced, so expiry is checked below.
            return jwt.decode(token, secret, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        except (jwt.PyJWTError, KeyError, ValueError):
            raise LinkRefused from None
