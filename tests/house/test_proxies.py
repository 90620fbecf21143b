"""Calls of ours to this machine go past every proxy that the environment names; calls of providers go by it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest

from src.adapters.files.store import store_at
from src.adapters.hbx.client import HbxClient, HbxSettings
from src.adapters.stripe.live import LiveStripe
from src.adapters.whatsapp.graph import GraphWhatsApp
from src.domain.errors import DomainError
from src.domain.messaging import Message
from src.domain.storage import ObjectName
from src.settings.libraries import PLATFORMS, THIS_MACHINE, reach_this_machine_directly
from tests.fakes.wire import Reply, Request, listening
from tests.support.processes import ROOT, TIMEOUT, ecotrips, environment, free_port, server

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
AWS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}
NOWHERE = dict.fromkeys(PROXIES, "http://127.0.0.1:9")


@dataclass
class Proxy:
    """A proxy that answers for every host; `asked` are the hosts that it was asked for."""

    status: int = 404
    asked: set[str] = field(default_factory=set)

    async def __call__(self, request: Request) -> Reply:
        self.asked.add(request.headers["host"])
        return Reply(self.status, {})


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    found = Proxy()
    async with listening(found) as address:
        for name in PROXIES:
            monkeypatch.setenv(name, address)
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
        yield found


NEAR = ",".join((*THIS_MACHINE, *PLATFORMS))
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, NEAR),
        ({"NO_PROXY": "a.example, localhost"}, f"a.example,{NEAR}"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, f"a.example,b.example,{NEAR}"),
        ({"NO_PROXY": "*"}, "*"),
        ({COLLECTOR: "http://collector:4318"}, f"{NEAR},collector"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://10.1.2.3:4318/v1/traces"}, f"{NEAR},10.1.2.3"),
        ({COLLECTOR: "https://collector.example.org"}, NEAR),
    ],
)
def test_what_the_environment_says_already_stays(given: dict[str, str], expected: str) -> None:
    environ = dict(given)
    reach_this_machine_directly(environ)
    assert {name: environ[name] for name in ("no_proxy", "NO_PROXY")} == {"no_proxy": expected, "NO_PROXY": expected}


CREDENTIALS = """
import os, obstore
from src.settings.libraries import reach_this_machine_directly
from obstore.store import S3Store
reach_this_machine_directly(os.environ)
try:
    config = {"region": "eu-west-1"}
    options = {"timeout": "1s", "connect_timeout": "1s"}
    obstore.head(S3Store("bucket", config=config, client_options=options, retry_config={"max_retries": 0}), "a")
except Exception as error:
    print(type(error))
"""
SPANS = """
import os
from src.settings.libraries import reach_this_machine_directly
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
reach_this_machine_directly(os.environ)
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(timeout=1)))
provider.get_tracer("a").start_span("a").end()
"""


@pytest.mark.parametrize(
    ("script", "given"),
    [
        (CREDENTIALS, {}),
        (CREDENTIALS, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"}),
        (SPANS, {COLLECTOR: "http://collector:4318", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20word"}),
    ],
)
async def test_what_goes_in_plain_text_to_who_is_near_goes_by_no_proxy(
    proxy: Proxy, script: str, given: dict[str, str]
) -> None:
    env = environment(**dict.fromkeys(("no_proxy", "NO_PROXY"), ""), **given)
    ran = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    await ran.wait()
    assert proxy.asked == set()


async def test_a_server_gets_ready_and_reaches_the_collector_of_this_machine(database: str, tmp_path: Path) -> None:
    told = asyncio.Event()

    async def collect(_request: Request) -> Reply:
        told.set()
        return Reply(200, {})

    async with listening(collect) as collector, asyncio.timeout(TIMEOUT):
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_METRIC_EXPORT_INTERVAL": "50"}
        with ExitStack() as running:
            started = server(database, tmp_path, **NOWHERE, **telemetry)  # ready when it has said so
            await asyncio.to_thread(running.enter_context, started)
            await told.wait()


def test_the_images_health_check_asks_the_server_itself(database: str, tmp_path: Path) -> None:
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    name, *arguments = json.loads(found[1])
    assert name == "python"
    with server(database, tmp_path) as running:
        port = running.address.rpartition(":")[2]
        for asked, status in ((port, 0), (str(free_port()), 1)):
            run = [sys.executable, *arguments]
            said = subprocess.run(run, env=environment(PORT=asked, **NOWHERE), capture_output=True, check=False)
            assert said.returncode == status, said.stderr


async def test_check_asks_the_providers_through_the_proxy(database: str, tmp_path: Path, proxy: Proxy) -> None:
    proxy.status = 200
    bases = {name: f"http://{name.partition('_')[0].lower()}.invalid" for name in ("STRIPE_API_BASE", "HBX_BASE_URL")}
    live = {"STRIPE_SECRET_KEY": "k", "HBX_API_KEY": "k", "HBX_API_SECRET": "s", "WA_ACCESS_TOKEN": "k"}
    said = await asyncio.to_thread(
        ecotrips, tmp_path, "check", DATABASE_URL=database, WA_GRAPH_BASE="http://wa.invalid", **bases, **live
    )
    assert said.stdout.count("answers HTTP 200") == 3, said.stdout + said.stderr
    assert proxy.asked == {"stripe.invalid", "hbx.invalid", "wa.invalid"}


async def test_every_provider_is_called_through_the_proxy_and_what_runs_here_is_not(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    await call_all("http://{}.invalid")
    assert proxy.asked == {"stripe.invalid", "hbx.invalid", "wa.invalid", "store.invalid"}
    proxy.asked.clear()
    environ = {"NO_PROXY": ""}
    reach_this_machine_directly(environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    here = Proxy()
    async with listening(here) as address:
        await call_all(address)
    assert (len(here.asked), proxy.asked) == (1, set())


async def call_all(address: str) -> None:
    """One call of each provider's adapter to `address` with its name put in; how it ends is not what is asked here."""
    payment_provider = LiveStripe("sk_test", address.format("stripe"), timeout=5)
    hotels = HbxClient(HbxSettings(api_key="k", secret="s", base_url=address.format("hbx")))
    graph = GraphWhatsApp(address.format("wa"), "1", "t")
    with patch.dict(os.environ, {**AWS, "AWS_ENDPOINT_URL": address.format("store")}):
        store = store_at("s3://bucket", Path("unused"), only_https=False)
    with suppress(DomainError):
        await payment_provider.find_intent("pi_1")
    with suppress(DomainError):
        await hotels.post("/hotel-api/1.0/hotels", {}, 5)
    await graph.send(Message(uuid4(), 1, "live", "text", "250788000000", "text", "x"))
    with suppress(DomainError):
        await store.head(ObjectName("invoices", "1.pdf"))
    await payment_provider.close()
    await hotels.close()
    await graph.close()


def test_no_proxy_of_socks_ends_a_command(tmp_path: Path) -> None:
    socks = dict.fromkeys(PROXIES, "socks5h://127.0.0.1:9")
    said = ecotrips(
        tmp_path, "check", DATABASE_URL="postgresql://nobody@127.0.0.1:9/none", STRIPE_SECRET_KEY="k", **socks
    )
    assert "BAD  stripe         does not answer" in said.stdout, said.stderr
    assert "Traceback" not in said.stderr


def test_nothing_asks_by_another_way() -> None:
    """One module of the standard library knows of proxies, the other does not; httpx obeys unless it is told not to."""
    for file in (ROOT / "src").rglob("*.py"):
        text = file.read_text()
        assert "urllib.request" not in text, file
        assert not re.search(r"\bHTTPS?Connection\(", text) or file.name == "serve.py", file
        assert not re.search(r"\b(trust_env|proxy|proxies|mounts)=", text), file
    for file in (ROOT / "Dockerfile", ROOT / "compose.yaml", *(ROOT / "deploy").rglob("*.*")):
        assert not re.search(r"urllib|\b(curl|wget)\b(?!.*--noproxy)", file.read_text()), file
