"""Where each login role of the database is reached, and with what password."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote, urlsplit, urlunsplit

from src.settings import Settings


def login_dsn(settings: Settings, role: str, address: str | None = None) -> str:
    """DATABASE_URL, or the `address` given, with the login of `role` in place of the administrator's."""
    parts = urlsplit(address or settings.database_url)
    host = parts.netloc.rpartition("@")[2]
    password = role_password(settings, role)
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password)}@{host}"))


def role_password(settings: Settings, role: str) -> str:
    """A login role's password: derived from DATABASE_ROLE_SECRET, so there is nothing more to keep."""
    return hmac.new(settings.database_role_secret.encode(), role.encode(), hashlib.sha256).hexdigest()
