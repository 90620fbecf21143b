"""The REST engine in our own service: callers as the whole edge knows them."""

from __future__ import annotations

from collections.abc import Mapping

from src.domain.context import REQUEST_ID
from src.domain.errors import CallerUnknown
from src.domain.rest.errors import RestError
from src.domain.rest.request import Configuration
from src.http.auth import Authenticator
from src.http.rest.application import RestApplication
from src.http.rest.information import Information
from src.ports.rest import Identity, RestEngine

CHALLENGE = ("WWW-Authenticate", "Bearer")


def service_application(
    engine: RestEngine, configuration: Configuration, authenticator: Authenticator
) -> RestApplication:
    """The ASGI application to mount at /rest/v1, inside `observed`, which gives requests their ids."""

    def identify(headers: Mapping[bytes, bytes]) -> Identity:
        try:
            caller = authenticator.caller(headers)
        except CallerUnknown as unknown:
            raise RestError(401, "PGRST301", str(unknown), headers=[CHALLENGE]) from None
        return Identity(caller.role.value, caller.claims, REQUEST_ID.get())

    return RestApplication(engine, configuration, identify, Information(engine, configuration))
