"""The REST engine in our service, with the service's callers and the endpoints' limits."""

from __future__ import annotations

from collections.abc import Mapping

from src.domain.context import REQUEST_ID, Context, Role
from src.domain.errors import CallerUnknown, RateLimited, Unavailable
from src.edge.asgi import Message
from src.edge.limits import SERVICE, USER, Limits
from src.edge.turns import Turns
from src.http.auth import Authenticator
from src.http.endpoint import Endpoint
from src.http.limits import RateLimits
from src.rest import (
    ActionKind,
    Admit,
    Configuration,
    Identity,
    Information,
    Request,
    RestApplication,
    RestEngine,
    RestError,
    route,
)

OF_ROLE: Mapping[str, Limits] = {
    Role.ANONYMOUS.value: USER,
    Role.USER.value: USER,
    Role.SERVICE.value: SERVICE,
}
CHALLENGE = ("WWW-Authenticate", "Bearer")
# All functions without a limited endpoint share one bucket, so that callers cannot fill the table of buckets with
# names.
OTHER_FUNCTIONS = "rpc"
OTHER_FUNCTIONS_PER_MINUTE = 60


def service_application(
    engine: RestEngine,
    configuration: Configuration,
    authenticator: Authenticator,
    turns: Turns,
    admit: Admit | None = None,
) -> RestApplication:
    """The ASGI application to mount at /rest/v1, inside `observed`, which gives requests their ids."""

    def identify(headers: Mapping[bytes, bytes]) -> Identity:
        try:
            caller = authenticator.caller(headers)
        except CallerUnknown as unknown:
            raise RestError(401, "PGRST301", str(unknown), headers=[CHALLENGE]) from None
        return Identity(caller.role.value, caller.claims, REQUEST_ID.get())

    return RestApplication(
        engine, configuration, identify, Information(engine, configuration, public=False), admit, OF_ROLE, turns
    )


def admission(
    configuration: Configuration, authenticator: Authenticator, limits: RateLimits, endpoints: Mapping[str, Endpoint]
) -> Admit:
    """Takes a token of the endpoint that fronts the called function.

    `endpoints` are by their functions' names. Calls of other functions share one bucket of anonymous callers and users.
    Calls by GET change nothing and are not limited there.
    """

    async def admit(scope: Message, request: Request) -> None:
        action = route(configuration, request)
        if action.kind is not ActionKind.CALL:
            return
        caller = authenticator.caller(request.first)
        endpoint = endpoints.get(f"{action.name.schema}.{action.name.name}")
        if endpoint is not None and endpoint.per_minute is not None:
            bucket, per_minute = endpoint.name, endpoint.per_minute
        elif action.by_get or caller.role is Role.SERVICE:
            return
        else:
            bucket, per_minute = OTHER_FUNCTIONS, OTHER_FUNCTIONS_PER_MINUTE
        try:
            await limits.take(Context(caller, REQUEST_ID.get()), bucket, per_minute, scope)
        except RateLimited as limited:
            headers = [("Retry-After", str(limited.retry_after))]
            raise RestError(429, "PT429", str(limited), headers=headers) from None
        except Unavailable as away:
            raise RestError(503, "PGRST001", str(away), headers=[("Retry-After", str(away.retry_after))]) from None

    return admit
