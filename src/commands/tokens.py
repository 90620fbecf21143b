"""`ecotrips token`: keys and users' tokens, signed with JWT_SECRET."""

from __future__ import annotations

import argparse
import os
from datetime import timedelta

from src.commands import local
from src.commands.arguments import Commands


def add(commands: Commands) -> None:
    token = commands.add_parser("token", help="sign a key or a user's token")
    token.add_argument("role", choices=["anon", "service_role", "authenticated"])
    token.add_argument("--user", metavar="UUID", help="the user of an authenticated token")
    token.add_argument("--hours", type=float, default=24, help="how long a user's token lasts")
    token.set_defaults(run=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    lifetime = timedelta(hours=arguments.hours) if arguments.role == "authenticated" else None
    with local.database(os.environ) as settings:
        print(local.token(settings, arguments.role, arguments.user, lifetime))
    return 0
