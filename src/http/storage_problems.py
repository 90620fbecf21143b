"""Failures of /storage/v1 in Supabase Storage's form."""

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from src.domain import errors
from src.domain.storage import LinkRefused
from src.http import problems
from src.http.ranges import RangeUnsatisfiable

# By status; refused links have names of their own.
NAMES = {
    400: "InvalidRequest",
    401: "Unauthorized",
    403: "AccessDenied",
    404: "not_found",
    405: "MethodNotAllowed",
    409: "Duplicate",
    413: "EntityTooLarge",
    415: "InvalidMimeType",
    416: "InvalidRange",
    503: "SlowDown",
}


class StorageProblem(msgspec.Struct, frozen=True, rename="camel"):
    """A failure's body; `status_code` is the HTTP status as text."""

    status_code: str
    error: str
    message: str


def refused(request: Request[None, None, State], error: Exception) -> Response[bytes]:
    """`problems.answer_of`; a path or method that no route takes is told in this form below /storage/v1."""
    answer = problems.answer_of(request, error)
    if isinstance(error, HTTPException) and request.scope["path"].startswith("/storage/v1/"):
        status = error.status_code
        message = str(problems.from_status(status))
        answer.content = msgspec.json.encode(StorageProblem(str(status), NAMES.get(status, "InternalError"), message))
    return answer


def answer_of(error: Exception) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of a failure."""
    headers = problems.headers_of(error)
    if isinstance(error, RangeUnsatisfiable):
        status, name = 416, NAMES[416]
        headers = [(b"content-range", b"bytes */%d" % error.size)]
    elif isinstance(error, LinkRefused):
        status, name = 400, error.reason
    else:
        status, _ = problems.status_and_code(error)
        name = NAMES.get(status, "InternalError")
    message = str(error) if isinstance(error, errors.DomainError) else "Something went wrong on our side"
    return status, msgspec.json.encode(StorageProblem(str(status), name, message)), headers
