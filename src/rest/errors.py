"""Errors in PostgREST's form: HTTP status, code, message, details and hint."""

from __future__ import annotations

import json

from src.edge.limits import MAX_NAME_LENGTH

MAX_TEXT_LENGTH = 4_000
Headers = list[tuple[str, str]]


class RestError(Exception):
    """An error answer. `details` and `hint` may be null; `details` may be any JSON.

    `reason` is a status text that the database chose.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: object = None,
        hint: str | None = None,
        headers: Headers | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.headers = headers or []
        self.reason = reason

    def body(self, *, minimal: bool = False) -> bytes:
        """The JSON object, keys in alphabetical order and without blanks, as clients of PostgREST get it."""
        content: dict[str, object] = {"code": self.code, "message": _shortened(self.message)}
        if not minimal:
            content |= {"details": _shortened(self.details), "hint": _shortened(self.hint)}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _shortened(value: object) -> object:
    """Bounds a text, as errors quote whole values and queries."""
    long = isinstance(value, str) and len(value) > MAX_TEXT_LENGTH
    return f"{str(value)[:MAX_TEXT_LENGTH]}…" if long else value


def query_error(message: str, details: str) -> RestError:
    return RestError(400, "PGRST100", message, details)


def too_much(message: str) -> RestError:
    """The request exceeds a limit of its caller (src/edge/limits.py)."""
    return RestError(400, "PGRST100", message)


def too_long_name() -> RestError:
    return too_much(f"A name may have at most {MAX_NAME_LENGTH} bytes")


def bad_body(message: str) -> RestError:
    return RestError(400, "PGRST102", message)


def no_query(media: str) -> RestError:
    """A body with a query string has to be a form, or of no media type."""
    taken = [("Accept-Query", "application/x-www-form-urlencoded")]
    return RestError(415, "PGRST102", f"Content-Type not acceptable for a query: {media}", headers=taken)


def bad_range(details: str) -> RestError:
    return RestError(416, "PGRST103", "Requested range not satisfiable", details)


def not_embedded(resource: str) -> RestError:
    return RestError(
        400,
        "PGRST108",
        f"'{resource}' is not an embedded resource in this request",
        hint=f"Verify that '{resource}' is included in the 'select' query parameter.",
    )


def not_singular(rows: int) -> RestError:
    return RestError(
        406, "PGRST116", "Cannot coerce the result to a single JSON object", f"The result contains {rows} rows"
    )


def unacceptable_media(accepted: list[str]) -> RestError:
    return RestError(406, "PGRST107", f"None of these media types are available: {', '.join(accepted)}")


def too_many_affected(rows: int) -> RestError:
    return RestError(
        400,
        "PGRST124",
        "Query result exceeds max-affected preference constraint",
        f"The query affects {rows} rows",
    )


def key_mismatch() -> RestError:
    return RestError(400, "PGRST115", "Payload values do not match URL in primary key column(s)")


def put_with_limit() -> RestError:
    return RestError(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")


def put_without_key() -> RestError:
    return RestError(405, "PGRST105", "Filters must include all and only primary key columns with 'eq' operators")


def bad_path() -> RestError:
    return RestError(404, "PGRST125", "Invalid path specified in request URL")


def no_root() -> RestError:
    return RestError(404, "PGRST126", "Root endpoint metadata is disabled")


def no_aggregates() -> RestError:
    return RestError(400, "PGRST123", "Use of aggregate functions is not allowed")


def no_to_many_aggregates() -> RestError:
    return RestError(
        400,
        "PGRST127",
        "Feature not implemented",
        "Aggregates are not implemented for one-to-many or many-to-many spreads.",
    )


def max_affected_of_single() -> RestError:
    return RestError(
        400,
        "PGRST128",
        "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
    )


def bad_guc_headers() -> RestError:
    return RestError(
        500,
        "PGRST111",
        "response.headers guc must be a JSON array composed of objects with a single key and a string value",
    )


def bad_guc_status() -> RestError:
    return RestError(500, "PGRST112", "response.status guc must be a valid status code")


def no_catalog() -> RestError:
    return RestError(
        503, "PGRST002", "Could not query the database for the schema cache. Retrying.", headers=[("Retry-After", "1")]
    )
