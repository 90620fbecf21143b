"""Maps errors to status and envelope by one table (docs/api.md, Answers and errors)."""

import logging
from collections.abc import Sequence

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from src.domain import errors
from src.domain.context import REQUEST_ID
from src.http.observe import new_request_id

log = logging.getLogger(__name__)

# The first matching class counts. Messages are never looked at.
TABLE: Sequence[tuple[type[errors.DomainError], int, str]] = (
    (errors.InputInvalid, 400, "INPUT_INVALID"),
    (errors.CallerUnknown, 401, "AUTH_REQUIRED"),
    (errors.NotAllowed, 403, "AUTH_REQUIRED"),
    (errors.NotFound, 404, "NOT_FOUND"),
    (errors.Conflict, 409, "DATA_CONFLICT"),
    (errors.RateLimited, 429, "RATE_LIMITED"),
    (errors.CardDeclined, 402, "PAYMENT_PROVIDER_ERROR"),
    (errors.ProviderFailed, 502, "PAYMENT_PROVIDER_ERROR"),
    (errors.CircuitOpen, 503, "SUPPLIER_TIMEOUT"),
    (errors.SupplierRefused, 502, "SUPPLIER_TIMEOUT"),
    (errors.SupplierFailed, 504, "SUPPLIER_TIMEOUT"),
    (errors.Unavailable, 503, "TRANSIENT_RETRY"),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A failure's body. `errors` lists every fault, in field order."""

    ok: bool = False
    code: str
    error: str
    errors: list[str]
    request_id: str


class InputRefused(errors.InputInvalid):
    """Input that has a status and headers of its own in HTTP."""

    def __init__(self, status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class MethodNotAllowed(InputRefused):
    """The path exists, not with this method; `allowed` is what it takes."""

    def __init__(self, allowed: str) -> None:
        super().__init__(405, f"Method not allowed; use {allowed}", [(b"allow", allowed.encode())])


def status_and_code(error: BaseException) -> tuple[int, str]:
    """Everything but domain errors and Litestar's refusals is a bug."""
    if isinstance(error, HTTPException):
        _, code = status_and_code(from_status(error.status_code))
        return error.status_code, code
    for kind, status, code in TABLE:
        if isinstance(error, kind):
            return error.status if isinstance(error, InputRefused) else status, code
    return 500, "UNKNOWN"


def body_of(error: BaseException, request_id: str) -> bytes:
    """The envelope; it says nothing about a bug."""
    _, code = status_and_code(error)
    if isinstance(error, HTTPException):
        error = from_status(error.status_code)
    if isinstance(error, errors.InputInvalid):
        messages = list(error.errors)
    else:
        messages = [str(error) if isinstance(error, errors.DomainError) else "Something went wrong on our side"]
    return msgspec.json.encode(Problem(code=code, error=messages[0], errors=messages, request_id=request_id))


def headers_of(error: BaseException) -> list[tuple[bytes, bytes]]:
    """The failure's headers: Allow, Accept-Encoding, Retry-After."""
    if isinstance(error, InputRefused):
        return [*error.headers]
    if isinstance(error, errors.Delayed):
        return [(b"retry-after", str(error.retry_after).encode())]
    return []


def answer_of(request: Request[None, None, State], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for all errors, of handlers and of the router."""
    request_id = REQUEST_ID.get() or new_request_id(request.scope)
    status, code = status_and_code(error)
    if code == "UNKNOWN":
        log.error("%s failed", request.scope.get("path_template", "a request"), exc_info=error)
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    if isinstance(error, HTTPException):
        headers = error.headers or {}
    return Response(
        body_of(error, request_id),
        status_code=status,
        media_type="application/json",
        headers={"x-request-id": request_id, **headers},
    )


def from_status(status: int) -> Exception:
    """The error codes of refusals by Litestar's router and by guards."""
    match status:
        case 401:
            return errors.CallerUnknown("A bearer token is required")
        case 403:
            return errors.NotAllowed("This is not allowed")
        case 404:
            return errors.NotFound("No such path")
        case 405:
            return errors.InputInvalid("Method not allowed")
        case _ if status < 500:  # noqa: PLR2004 - a client error
            return errors.InputInvalid("The request cannot be read")
        case _:
            return RuntimeError()
