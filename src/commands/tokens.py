"""`ecotrips token`: keys and users' tokens, signed with JWT_SECRET."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta
from uuid import UUID

from src.commands import local
from src.commands.arguments import Commands, number

# A year: a person's token cannot be taken back.
MAX_HOURS = 366 * 24


def add(commands: Commands) -> None:
    token = commands.add_parser("token", help="sign a key or a user's token")
    token.add_argument("role", choices=["anon", "service_role", "authenticated"])
    token.add_argument("--user", type=_user, metavar="UUID", help="the user of an authenticated token")
    token.add_argument("--hours", type=number(1, MAX_HOURS), default=24, help="how long a user's token lasts")
    token.set_defaults(run=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    of_a_user = arguments.role == "authenticated"
    if of_a_user is not (arguments.user is not None):
        message = "--user says whose token it is" if of_a_user else f"{arguments.role} is nobody's: without --user"
        raise ValueError(message)
    lifetime = timedelta(hours=arguments.hours) if of_a_user else None
    with local.database(os.environ) as settings:
        print(local.token(settings, arguments.role, arguments.user, lifetime))
    return 0


def _user(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        message = f"{text!r:.40} is no uuid"
        raise argparse.ArgumentTypeError(message) from None
