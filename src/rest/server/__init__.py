"""`ecotrips rest`: the standalone engine over any database."""

from src.rest.server.server import serve
from src.rest.server.settings import command_line

__all__ = ["command_line", "serve"]
