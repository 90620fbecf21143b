"""`GET /auth/v1/user` (docs/api.md, Sign-in): who a user's token speaks for."""

import json

import msgspec
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send

from src.domain.context import REQUEST_ID, Role
from src.domain.errors import CallerUnknown, DomainError
from src.http import problems, wire
from src.http.auth import Authenticator


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    role: str
    email: str | None = None


class CurrentUser:
    """The bearer's user; keys are nobody."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI application takes it
        assert scope["type"] == ScopeType.HTTP  # noqa: S101 - Litestar routes nothing else here
        try:
            status, body, headers = 200, msgspec.json.encode(self._user(scope)), []
        except DomainError as error:
            status, _ = problems.status_and_code(error)
            body, headers = problems.body_of(error, REQUEST_ID.get()), problems.headers_of(error)
        await wire.send_answer(send, status, body, REQUEST_ID.get(), headers)

    def _user(self, scope: HTTPScope) -> User:
        caller = self._authenticator.caller(wire.headers_of(scope))
        if caller.role is not Role.USER:
            message = "A user's token is required"
            raise CallerUnknown(message)
        if scope["method"] not in ("GET", "HEAD"):
            message = "GET, HEAD"
            raise problems.MethodNotAllowed(message)
        email = json.loads(caller.claims).get("email")
        return User(str(caller.user_id), caller.role.value, email if isinstance(email, str) else None)
