"""Security headers of every answer (https://owasp.org/www-project-secure-headers/)."""

from __future__ import annotations

from collections.abc import Awaitable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]

# Answers of /rest/v1 are data, so nosniff is enough.
DATA: Headers = ((b"x-content-type-options", b"nosniff"),)
PAGES: Headers = (
    *DATA,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# One year. Browsers obey it over https only.
HTTPS_ONLY: Headers = ((b"strict-transport-security", b"max-age=31536000"),)


# The key in a handler's `opt` that chooses among these headers; the default is PAGES.
OPT = "told_to_browsers"


def telling(app: ASGIApp, *, https_only: bool) -> ASGIApp:
    """Middleware that adds the headers that an answer does not have."""
    added = HTTPS_ONLY if https_only else ()

    def told(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        headers = (*scope["route_handler"].opt.get(OPT, PAGES), *added)

        def sending(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                own = [name for name, _ in message["headers"]]
                message["headers"] = [*message["headers"], *(pair for pair in headers if pair[0] not in own)]
            return send(message)

        return app(scope, receive, sending)

    return told
