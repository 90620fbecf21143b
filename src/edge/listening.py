"""Limits of connections: timeouts, and how many a server process holds at once."""

from __future__ import annotations

import resource
import socket
import sys
from typing import Any

from granian.http import HTTP1Settings
from granian.net import SocketSpec  # type: ignore[attr-defined] # re-exported without saying so
from granian.server.common import AbstractServer

# Clients that send headers too slowly or too large, and idle ones, are disconnected.
HTTP1 = HTTP1Settings(header_read_timeout=10_000, max_buffer_size=64 * 1024)
# The backlog of connections; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096
MAX_CONNECTIONS = 8_192
# Files that a process needs beside its clients' connections.
OTHER_FILES = 256
# Clients that read nothing of an answer for so long are disconnected.
DEAF_MILLISECONDS = 30_000


def connections() -> int:
    """How many clients this process may hold at once; further ones wait in the kernel.

    Raises the soft limit of open files to the hard one, and warns when that is too low.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= MAX_CONNECTIONS + OTHER_FILES:
        return MAX_CONNECTIONS
    found = max(hard - OTHER_FILES, hard // 2)
    print(
        f"only {hard} files may be open, so {found} connections at once instead of {MAX_CONNECTIONS}: "
        "raise the hard limit (ulimit -Hn, LimitNOFILE= of a systemd unit, ulimits of a container)",
        file=sys.stderr,
        flush=True,
    )
    return found


class BoundedListener(AbstractServer[Any]):
    """Wraps a granian server: its TCP connections end when their client stops reading.

    Granian has no write timeout, so sockets get one that accepted connections inherit. On Linux granian makes a socket
    in each process; this makes one for all, as granian does elsewhere.
    """

    _shd: Any
    _sso: Any

    def _init_shared_socket(self) -> None:
        if self.bind_uds or not hasattr(socket, "TCP_USER_TIMEOUT"):
            super()._init_shared_socket()  # type: ignore[no-untyped-call] # granian's methods have no annotations
            return
        self._shd = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._sfd = self._shd.get_fd()
        self._sso = socket.socket(fileno=self._sfd)
        self._sso.set_inheritable(True)
        self._sso.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_MILLISECONDS)
