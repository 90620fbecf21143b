"""What the README promises to a newcomer: `make run`'s command, its file of keys, and the calls that it shows."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, command, environment, free_port

CURL = re.compile(r"^curl .*?(?<!\\)$", flags=re.MULTILINE | re.DOTALL)


def test_the_first_calls_work_as_they_stand(tmp_path: Path) -> None:
    calls = CURL.findall((ROOT / "README.md").read_text())
    assert len(calls) >= 5
    env = environment(PORT=str(free_port()), DATA_DIR=str(tmp_path / "data"))
    with command(tmp_path, "demo", ready="Try it in another terminal", env=env) as demo:
        file = tmp_path / "data" / "dev.env"
        assert f"source {file}" in demo.text()
        assert file.stat().st_mode & 0o777 == 0o600
        for call in calls:
            run = ["bash", "-euc", f"source {file}\n{call}"]
            answer = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path)
            told = json.loads(answer.stdout)
            assert told[0]["entry_type"] if isinstance(told, list) else told["ok"] is True, call
        # Commands of a shell that knows the demo mock what its server mocks.
        check = f"source {file}\n{sys.executable} -m src.cli check"
        run = ["bash", "-euc", check]
        subprocess.run(run, check=True, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
        assert demo.stop() == 0
        assert "worker stopped: handled=" in demo.text()
    # In such a shell, too, it starts its own database again.
    again = environment(PORT=str(free_port()), DATA_DIR=str(tmp_path / "data"), DATABASE_URL="postgresql:///gone")
    with command(tmp_path, "demo", ready="Try it in another terminal", env=again) as demo:
        assert demo.stop() == 0


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        env = environment(PORT=str(busy.getsockname()[1]), DATA_DIR=str(tmp_path / "data"))
        with (
            pytest.raises(AssertionError, match="is not free"),
            command(tmp_path, "demo", ready="Try it", env=env) as demo,
        ):
            demo.stop()
    assert not (tmp_path / "data").exists()


def test_a_folder_without_rights_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    env = environment(PORT=str(free_port()), DATA_DIR=str(tmp_path / "data"))
    with (
        pytest.raises(AssertionError, match="DATA_DIR must be a folder you own"),
        command(tmp_path, "demo", ready="Try it", env=env) as demo,
    ):
        demo.stop()
