"""Requests that schemathesis makes up from the document: no 500, and no answer that the document does not allow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ANON_KEY, OPS_USER, SERVICE_KEY, token
from tests.support.processes import server

# Requests an operation and caller; FUZZ_REQUESTS=100 makes more than 10,000 in all (`make fuzz`).
EACH = int(os.environ.get("FUZZ_REQUESTS", "6"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
CALLERS = {
    "anonymous": {"apikey": ANON_KEY},
    "service": {"apikey": SERVICE_KEY},
    "ops": {"apikey": ANON_KEY, "authorization": f"Bearer {token('authenticated', OPS_USER)}"},
}


@pytest.mark.parametrize("caller", CALLERS)
def test_generated_requests_get_answers_that_the_document_allows(database: str, tmp_path: Path, caller: str) -> None:
    headers = [f"--header={name}:{value}" for name, value in CALLERS[caller].items()]
    with server(database, tmp_path) as running:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                "run",
                f"{running.address}/schema",
                f"--checks={','.join(CHECKS)}",
                f"--max-examples={EACH}",
                "--phases=examples,fuzzing",
                "--continue-on-failure",
                "--generation-database=none",
                "--warnings=off",
                *headers,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        made = re.search(r"(\d+) generated", done.stdout)
        assert made, done.stdout
        print(f"{made[1]} requests as {caller}")
        assert int(made[1]) >= EACH * 36
        assert "failed:" not in running.text(), running.text()
