"""Request ids are uuids of a generator that each process has for itself."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID

from tests.support.processes import ROOT, TIMEOUT

FORKS = """
import os
from src.http.observe import new_request_id
child = os.fork()
for _ in range(100):
    os.write(1, f"{new_request_id({'headers': []})}\\n".encode())
if child:
    os.waitpid(child, 0)
"""


def test_a_server_process_makes_other_ids_than_the_one_it_was_forked_from() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    ids = run.stdout.split()
    assert len(set(ids)) == len(ids) == 200
    assert {(UUID(one).version, str(UUID(one)) == one) for one in ids} == {(4, True)}
