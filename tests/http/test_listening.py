"""How many clients a process holds, by the files that it may open."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from src.edge.listening import MAX_CONNECTIONS
from tests.support.processes import ROOT, TIMEOUT, environment, server

ASKED = """
import resource
import socket
resource.setrlimit(resource.RLIMIT_NOFILE, ({}, {}))
from src.edge.listening import connections
print(connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def asked(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    """The clients and the soft limit of a process that was started with these limits."""
    return subprocess.run(
        [sys.executable, "-c", ASKED.format(soft, hard)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 9_000:
        pytest.skip(f"only {hard} files may be open here")
    done = asked(1024, 9_000)
    assert (done.stdout.split(), done.stderr) == ([str(MAX_CONNECTIONS), "9000"], "")


@pytest.mark.parametrize(("hard", "found"), [(4096, 3840), (300, 150)])
def test_a_limit_that_is_too_low_is_said_and_leaves_files_for_the_rest(hard: int, found: int) -> None:
    done = asked(hard, hard)
    assert done.stdout.split() == [str(found), str(hard)]
    assert done.stderr.startswith(f"only {hard} files may be open, so {found} connections at once")


def test_a_header_has_an_end(database: str, tmp_path: Path) -> None:
    with server(database, tmp_path) as running:
        port = urlsplit(running.address).port
        assert port

        def status(line: str, *fields: str) -> str:
            with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
                connection.sendall("\r\n".join([line, "host: x", *fields, "", ""]).encode())
                return connection.recv(1024).split()[1].decode()

        asked = "GET /healthz HTTP/1.1"
        assert status(asked, f"a: {'x' * 65_000}") == "200"
        assert status(asked, f"a: {'x' * 131_072}") == "431"
        assert status(asked, *(f"a{number}: x" for number in range(99))) == "200"
        assert status(asked, *(f"a{number}: x" for number in range(100))) == "431"
        assert status(f"GET /healthz?{'x' * 65_000} HTTP/1.1") == "200"
        assert status(f"GET /healthz?{'x' * 65_536} HTTP/1.1") == "414"
