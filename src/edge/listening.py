"""What a server process lets its clients do before anything of ours sees them, and how many it holds at once."""

from __future__ import annotations

import resource
import socket
import sys
from typing import Any

from granian.http import HTTP1Settings
from granian.net import SocketSpec  # type: ignore[attr-defined] # re-exported without saying so
from granian.server.common import AbstractServer

# Whoever sends its header slower than this, or larger, is hung up on; so is a connection on which nothing is asked.
HTTP1 = HTTP1Settings(header_read_timeout=10_000, max_buffer_size=64 * 1024)
# Connections that may wait to be accepted; the kernel takes its own limit (net.core.somaxconn) where that is smaller.
BACKLOG = 4096
MAX_CONNECTIONS = 8_192
# Database connections, providers, logs, modules: what a process has open beside its clients.
OTHER_FILES = 256
# Who takes nothing of an answer for so long is hung up on.
DEAF_MILLISECONDS = 30_000


def connections() -> int:
    """How many clients a process of this one's limits may hold at once; further ones wait in the kernel.

    Raises the soft limit of open files to the hard one first, and says when that leaves fewer than it should: without
    files left a process can neither accept a client nor reach its database.
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
    """Put before one of granian's servers: its TCP connections end when their client takes nothing for a while.

    Granian has no limit for writing, so the kernel holds it: connections have it from the socket that accepts them. On
    Linux granian makes one in each process, out of reach; this makes one for all, as granian does elsewhere.
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
