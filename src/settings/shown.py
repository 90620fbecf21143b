"""What may be shown of a setting's value: secrets get into wrong places."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from src.database import dsn
from src.settings.addresses import is_web_address

SHOWN_PARAMETERS = ("application_name", "port", "sslmode", "sslrootcert", "target_session_attrs")
PLAIN = re.compile(r"[\w.,:/ -]*", re.ASCII)
# How keys and tokens begin, credentials in an address, and runs of letters and digits that nobody gives as a name.
KEYS = re.compile(r"-----BEGIN|(?<![A-Za-z])(?:sk|rk|pk|whsec|gh[a-z]|xox[a-z])[_-]|eyJ|EAA|://[^/]*@")
RUN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}"
    r"|(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,})"
)
# In random letters small, capital and digit alternate.
CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=[0-9])[A-Za-z]")
MAX_CHANGES = 8


def plain(value: str) -> str | None:
    """Words, names, paths and hosts; None for what might be a key or password, or hold one."""
    secret = KEYS.search(value) or RUN.search(value) or len(CHANGE.findall(value)) >= MAX_CHANGES
    return value if PLAIN.fullmatch(value) and not secret else None


def hidden(_value: str) -> str:
    return "set"


def length(value: str) -> str:
    return f"{len(value)} character{'' if len(value) == 1 else 's'}"


def address(value: str) -> str | None:
    """An address without what stands before an @ or behind a question mark or hash."""
    parts = urlsplit(value) if is_web_address(value) else None
    # In a password that is not percent-encoded a / ? or # ends what was meant as the host.
    if parts is None or "@" in value.partition(parts.netloc)[2]:
        return None
    login, at, place = parts.netloc.rpartition("@")
    path = "/***" if plain(parts.path) is None else parts.path
    rest = ("?***" if "?" in value else "") + ("#***" if "#" in value else "")
    return plain(place) and f"{parts.scheme}://{login and '***'}{at}{place}{path}{rest}"


def database(value: str) -> str | None:
    """A database's address without its password, wherever in it that stands."""
    try:
        given = dsn.Dsn.of(value)
    except ValueError:
        return None
    if "@" in value.partition("?")[2] or "#" in value:
        return None
    # Who has no password may be one.
    user = (f"{_or_stars(given.user)}:***" if given.password else "***") if given.user else ""
    hosts = ",".join(f"{_or_stars(host.name)}{host.port and ':'}{host.port}" for host in given.hosts)
    named = [
        f"{name if dsn.LIBPQ.fullmatch(name) else '***'}={_or_stars(found) if name in SHOWN_PARAMETERS else '***'}"
        for name, found in given.parameters.items()
    ]
    place = f"{user}{user and '@'}{hosts}/{_or_stars(given.path)}"
    return f"{given.scheme}://{place}{'?' if named else ''}{'&'.join(named)}"


def _or_stars(text: str) -> str:
    return "***" if plain(unquote(text)) is None else text
