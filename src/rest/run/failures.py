"""Maps Postgres errors to REST errors by SQLSTATE (PostgREST's reference, "Errors").

Other than there, 500 is for faults of the server only; what callers cause is 4xx, and what passes is 503.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from src.database.errors import BROKEN, DatabaseUnavailable, PoolTimeout
from src.edge.json_size import require_within
from src.edge.limits import OF_BODIES
from src.rest.errors import RestError

BY_CODE = {
    "23503": 409,
    "23505": 409,
    "25006": 405,
    # Lost races: serialization failure, deadlock.
    "40001": 409,
    "40P01": 409,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    # The session's limit of temporary files was exceeded.
    "53400": 400,
    # Usually a view that is not updatable.
    "55000": 405,
    # A lock timeout, or a statement timeout.
    "55P03": 503,
    "57014": 503,
    "57P01": 503,
    "P0000": 500,
    "P0004": 500,
}
BY_CLASS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    # The server's limits: nesting beyond its stack, too many array dimensions.
    "54": 400,
    "55": 500,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "XX": 500,
}
# Codes with several meanings: the status by the beginning of the message.
BY_MESSAGE = {"42883": ("function xmlagg(", 406)}
# Errors without a code of their own are XX000. Within utils/adt, regex, tsearch and utils/mmgr (types, operators,
# patterns, texts and their memory) the caller's value caused them; elsewhere (catalogs, plans, pages) the server did.
# The files are the same in all releases.
UNFORESEEN = "XX000"
# The code that replaces XX000, which would mean an internal error.
BEYOND = "54000"
OF_VALUES = re.compile(
    r"(arrays?|array_\w+|arrayfuncs|arrayutils|bool|cash|char|date\w*|domains|encode|enum|expanded\w+|float|formatting|geo_\w+"
    r"|inet\w*|network\w*|int8?|json\w*|like\w*|mac8?|multirangetypes|name|numeric|numutils|oid|oracle_compat"
    r"|orderedsetaggs|pg_lsn|pseudotypes|quote|rangetypes\w*|rowtypes|tid|timestamp|uuid|varbit|varchar|varlena|xid\w*|xml"
    r"|regexp|reg[ce]_?\w*|regprefix|regproc|dict\w*|spell|to_tsany|ts\w+|wparser\w*|mcxt|aset|generation|bump|slab)\.c"
)
SERVICE_UNAVAILABLE = 503
UNAUTHORIZED = 401
RETRY = [("Retry-After", "1")]
MESSAGE_FORM = (
    "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
)
DETAIL_FORM = "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."


@contextmanager
def as_rest_errors(*, anonymous: bool) -> Iterator[None]:
    """Inside this block, database errors become RestError. `anonymous`: the caller has the anonymous role."""
    try:
        yield
    except RestError:
        raise
    except Exception as error:
        raise rest_error(error, anonymous=anonymous) from error


def rest_error(error: Exception, *, anonymous: bool) -> Exception:
    """The REST error of a database error; other errors are returned as they are."""
    if isinstance(error, asyncpg.PostgresError):
        return refusal(error, anonymous=anonymous)
    if isinstance(error, PoolTimeout):
        return RestError(504, "PGRST003", "Timed out acquiring connection from connection pool.")
    if isinstance(error, DatabaseUnavailable):
        message = "Database connection error. Retrying the connection."
        return RestError(SERVICE_UNAVAILABLE, "PGRST000", message, headers=list(RETRY))
    if isinstance(error, BROKEN):
        message = "Database client error. Retrying the connection."
        return RestError(SERVICE_UNAVAILABLE, "PGRST001", message, headers=list(RETRY))
    return error


def refusal(error: asyncpg.PostgresError, *, anonymous: bool) -> RestError:
    code = error.sqlstate or "XX000"
    message, details = str(error.message or error), error.detail
    if code == UNFORESEEN and OF_VALUES.fullmatch(error.server_source_filename or ""):
        code = BEYOND
    if code == "PGRST":
        return _raised(message, details)
    status, reason = _status(code, message, anonymous=anonymous)
    headers = [("WWW-Authenticate", "Bearer")] if status == UNAUTHORIZED else []
    if status == SERVICE_UNAVAILABLE:
        headers = list(RETRY)
    return RestError(status, code, message, details=details, hint=error.hint, headers=headers, reason=reason)


def denied(what: str, *, anonymous: bool) -> RestError:
    """Postgres' error for a missing right, without asking Postgres."""
    return refusal(asyncpg.InsufficientPrivilegeError(f"permission denied for {what}"), anonymous=anonymous)


def _status(code: str, message: str, *, anonymous: bool) -> tuple[int, str | None]:
    if code.startswith("PT") and code[2:].isdecimal():
        return int(code[2:]), message
    if code == "42501":
        return (UNAUTHORIZED if anonymous else 403), None
    if code == "22023" and message.startswith("role") and message.endswith("does not exist"):
        return UNAUTHORIZED, None
    beginning, of_message = BY_MESSAGE.get(code, ("", 0))
    if of_message and message.startswith(beginning):
        return of_message, None
    return BY_CODE.get(code) or BY_CLASS.get(code[:2], 500 if code.startswith("PT") else 400), None


def _raised(message: str, details: str | None) -> RestError:
    """`RAISE SQLSTATE 'PGRST'`: the message is the body, the detail the status and headers."""
    body = _object(message, ("code", "message"))
    if body is None:
        return _malformed(f"Invalid JSON value for MESSAGE: '{message}'", MESSAGE_FORM)
    if details is None:
        return _malformed("DETAIL is missing in the RAISE statement", DETAIL_FORM)
    answer = _object(details, ("status", "headers"))
    status = answer and answer["status"]
    chosen = answer and answer["headers"]
    if not isinstance(answer, dict) or not isinstance(status, int) or not isinstance(chosen, dict):
        return _malformed(f"Invalid JSON value for DETAIL: '{details}'", DETAIL_FORM)
    reason = answer.get("status_text")
    hint = body.get("hint")
    return RestError(
        status,
        str(body["code"]),
        str(body["message"]),
        details=body.get("details"),
        hint=None if hint is None else str(hint),
        headers=[(str(name), str(value)) for name, value in chosen.items()],
        reason=None if reason is None else str(reason),
    )


def _object(text: str, required: tuple[str, ...]) -> dict[str, object] | None:
    try:
        require_within(text.encode(), OF_BODIES)
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and all(key in value for key in required) else None


def _malformed(details: str, hint: str) -> RestError:
    message = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
    return RestError(500, "PGRST121", message, details=details, hint=hint)
