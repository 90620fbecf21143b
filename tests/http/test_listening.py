"""How many clients a process holds, by the files that it may open."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from src.http.listening import MOST_CONNECTIONS
from tests.processes import ROOT, environment

ASKED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({}, {}))
from src.http.listening import connections
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
    assert (done.stdout.split(), done.stderr) == ([str(MOST_CONNECTIONS), "9000"], "")


@pytest.mark.parametrize(("hard", "found"), [(4096, 3840), (300, 150)])
def test_a_limit_that_is_too_low_is_said_and_leaves_files_for_the_rest(hard: int, found: int) -> None:
    done = asked(hard, hard)
    assert done.stdout.split() == [str(found), str(hard)]
    assert done.stderr.startswith(f"only {hard} files may be open, so {found} connections at once")
