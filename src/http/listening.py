"""What a server process lets its clients do before anything of ours sees them, and how many it holds at once."""

from __future__ import annotations

import resource
import sys

from granian.http import HTTP1Settings

# Whoever sends its header slower than this, or larger, is hung up on; so is a connection on which nothing is asked.
HTTP1 = HTTP1Settings(header_read_timeout=10_000, max_buffer_size=64 * 1024)
# Connections that may wait to be accepted; the kernel takes its own limit (net.core.somaxconn) where that is smaller.
BACKLOG = 4096
MOST_CONNECTIONS = 16_384
# Database connections, providers, logs, modules: what a process has open beside its clients.
OTHER_FILES = 256


def connections() -> int:
    """How many clients a process of this one's limits may hold at once; further ones wait in the kernel.

    Raises the soft limit of open files to the hard one first, and says when that leaves fewer than it should: without
    files left a process can neither accept a client nor reach its database.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= MOST_CONNECTIONS + OTHER_FILES:
        return MOST_CONNECTIONS
    found = max(hard - OTHER_FILES, hard // 2)
    print(
        f"only {hard} files may be open, so {found} connections at once instead of {MOST_CONNECTIONS}: "
        "raise the hard limit (ulimit -Hn, LimitNOFILE= of a systemd unit, ulimits of a container)",
        file=sys.stderr,
        flush=True,
    )
    return found
