"""Chooses the login of a command: the operator's own, else the shared one of the role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager

from src.commands import local
from src.database.dsn import Dsn
from src.edge.errors import SettingsError
from src.logins import OPERATORS, is_a_persons, login_dsn
from src.settings import Settings


@contextmanager
def acting_as(environ: MutableMapping[str, str], role: str) -> Iterator[str]:
    """The DSN of a login with exactly the rights of `role`, on a database that answers.

    A DATABASE_URL with a personal login is used as it is. Raises SettingsError.
    """
    own = environ.get("DATABASE_DIRECT_URL") or environ.get("DATABASE_URL")
    if own and asyncio.run(is_a_persons(own, role)):
        yield own
        return
    with ExitStack() as stack:
        try:
            settings = stack.enter_context(local.database(environ))
        except SettingsError as error:
            message = f"{error}; a login of one's own in {role} needs no setting but DATABASE_URL, with its password"
            raise SettingsError(message) from None
        # psql's statements may be read by others.
        environ["PRIVACY_HMAC_SECRET"] = settings.privacy_secret
        yield login_dsn(settings, OPERATORS[role], settings.direct_url)


@contextmanager
def administering(environ: MutableMapping[str, str], *, restoring: bool = False) -> Iterator[Settings]:
    """Settings with a database that answers, for work that needs its owner.

    `restoring` is as in local.database. Raises SettingsError, also for a DATABASE_URL with a personal login.
    """
    own = environ.get("DATABASE_DIRECT_URL") or environ.get("DATABASE_URL")
    with ExitStack() as stack:
        try:
            settings = stack.enter_context(local.database(environ, restoring=restoring))
        except SettingsError as error:
            if own and any(asyncio.run(is_a_persons(own, role)) for role in OPERATORS):
                message = (
                    f"{Dsn.of(own).user} is a person's own login; this is for the administrator, whose DATABASE_URL"
                    f" names the owner of the database, with the service's settings ({error})"
                )
                raise SettingsError(message) from None
            raise
        yield settings


async def dsn_of(settings: Settings, role: str) -> str:
    """Like acting_as, for commands that need the settings, too."""
    own = settings.direct_url
    return own if await is_a_persons(own, role) else login_dsn(settings, OPERATORS[role], own)
