"""`GET /auth/v1/user` (docs/api.md, Sign-in): the user of a token."""

import json

import msgspec
from litestar import Controller, Request, Response, get, route
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import HttpMethod

from src.domain.context import REQUEST_ID, Role
from src.domain.errors import CallerUnknown
from src.http import wire
from src.http.auth import Authenticator
from src.http.openapi import operation_with
from src.http.problems import MethodNotAllowed


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    role: str
    email: str | None = None


EXAMPLE = {"id": "22222222-2222-4222-8222-222222222222", "role": "authenticated", "email": "ops@ecotrips.example"}
# Methods that its path refuses.
WRONG = (HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE)


class UserController(Controller):
    path = "/auth/v1"

    @route("/user", http_method=WRONG, status_code=405, include_in_schema=False, sync_to_thread=False)
    def refuse(self, request: Request[None, None, State], authenticator: NamedDependency[Authenticator]) -> None:
        """Refuses other methods, with 401 first where there is no user."""
        _user(request, authenticator)
        message = "GET, HEAD"
        raise MethodNotAllowed(message)

    @get(
        "/user",
        name="current-user",
        operation_class=operation_with(401, 405, 500, examples={200: EXAMPLE}),
        sync_to_thread=False,
    )
    def current_user(
        self, request: Request[None, None, State], authenticator: NamedDependency[Authenticator]
    ) -> Response[User]:
        """Who the bearer's token speaks for.

        A key without a user is 401.
        """
        return Response(_user(request, authenticator), headers={"x-request-id": REQUEST_ID.get()})


def _user(request: Request[None, None, State], authenticator: Authenticator) -> User:
    caller = authenticator.caller(wire.headers_of(request.scope))
    if caller.role is not Role.USER:
        message = "A user's token is required"
        raise CallerUnknown(message)
    email = json.loads(caller.claims).get("email")
    return User(str(caller.user_id), caller.role.value, email if isinstance(email, str) else None)
