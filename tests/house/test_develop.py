"""docs/develop.md: the fake Hotelbeds and the service that asks it start as shown, and the control does as said."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import httpx

from tests.support.processes import ROOT, command, environment, free_port

SEARCH = {"city": "Kigali", "check_in": "2099-06-03", "check_out": "2099-06-05", "pax": {"adults": 2}}


def test_the_service_asks_the_fake_hotelbeds_that_runs_by_hand(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "develop.md").read_text().replace("8091", str(free_port()))
    start, serve = re.findall(r"^```sh\n(.*(?:tests\.fakes\.hbx|make run).*)\n```", text, flags=re.MULTILINE)
    bad_day = re.findall(r"`(curl -X PUT .*?)`", text)[0]
    assert serve.endswith("make run")
    env = environment(PORT=str(free_port()), DATA_DIR=str(tmp_path / "data"), **dict(re.findall(r"(\w+)=(\S+)", serve)))
    with subprocess.Popen(["/bin/sh", "-c", f"exec {start}"], cwd=ROOT, env=os.environ, stdout=subprocess.PIPE) as fake:
        try:
            assert fake.stdout is not None
            assert serve.removesuffix(" make run") in fake.stdout.readline().decode()
            with command(tmp_path, "demo", ready="Try it in another terminal", env=env) as demo:
                keys = dict(
                    re.findall(r"^export (\w+)=(\S+)$", (tmp_path / "data" / "dev.env").read_text(), re.MULTILINE)
                )
                address = f"{demo.address}/functions/v1/inventory-search"
                headers = {"apikey": keys["SUPABASE_ANON_KEY"]}
                assert httpx.post(address, json=SEARCH, headers=headers).json()["source"] == "HBX"
                subprocess.run(["/bin/sh", "-c", bad_day], check=True, capture_output=True)
                limited = httpx.post(address, json={**SEARCH, "city": "Huye"}, headers=headers, timeout=30)
                assert limited.json()["code"] == "RATE_LIMITED"
        finally:
            fake.kill()
