"""The example for nginx, run as it stands but for its addresses and files, in front of two real server processes."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from src.adapters.files.store import store_at
from src.domain.storage import ObjectName
from src.edge.listening import HTTP1
from tests.conftest import ANON_KEY, CHECKOUT, SERVICE_KEY, TRAVELLER, token
from tests.support.cluster import MEMORY
from tests.support.processes import ROOT, TIMEOUT, free_port, server
from tests.support.programs import program
from tests.support.tls import Authority

EXAMPLE = (ROOT / "deploy" / "nginx.conf").read_text()
KEY = {"apikey": ANON_KEY}
SERVICE = {"apikey": SERVICE_KEY, "authorization": f"Bearer {SERVICE_KEY}"}
USER = {**KEY, "authorization": f"Bearer {token('authenticated', TRAVELLER)}"}
PARK = {"park": "Volcanoes", "visit_date": "2030-06-01", "pax_count": 2}
PROXY, CALLER, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
MEBIBYTE = 1024 * 1024
WHOLE = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {example}
}}
"""


@dataclass
class Proxied:
    """nginx on `address` (by TLS) and `plain`."""

    address: str
    plain: str
    trust: ssl.SSLContext

    def client(self, source: str = CALLER) -> httpx.Client:
        """A caller from another address than the proxy's own."""
        transport = httpx.HTTPTransport(local_address=source, verify=self.trust)
        return httpx.Client(base_url=self.address, transport=transport, timeout=TIMEOUT)


@contextmanager
def nginx(backends: list[str]) -> Iterator[Proxied]:
    port, plain = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="ecotrips-test-", dir=MEMORY) as name:
        folder = Path(name)
        authority = Authority(folder, "authority")
        certificate, key = authority.issue("127.0.0.1")
        (folder / "fullchain.pem").write_bytes(certificate)
        (folder / "privkey.pem").write_bytes(key)
        example = re.sub(r"\n +listen \[::\].*", "", EXAMPLE)
        for here, there in {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/letsencrypt/live/ops.example": str(folder),
            "127.0.0.1:8001": backends[0],
            "127.0.0.1:8002": backends[1],
            "ops.example": "127.0.0.1",
        }.items():
            assert here in example, here
            example = example.replace(here, there)
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(WHOLE.format(folder=folder, example=example, user=user))
        run = [program("nginx", "nginx-light"), "-p", name, "-e", f"{name}/error.log", "-c", f"{name}/nginx.conf"]
        with subprocess.Popen(run, stderr=subprocess.PIPE) as process:
            try:
                _wait(process, port)
                trust = ssl.create_default_context(cafile=str(authority.file))
                yield Proxied(f"https://127.0.0.1:{port}", f"http://127.0.0.1:{plain}", trust)
            finally:
                process.terminate()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            httpx.get(f"http://127.0.0.1:{port}/")  # answered with 400: it wants TLS
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def storage_of(folder: Path) -> str:
    return f"file://{folder}/storage"


@pytest.fixture
async def proxied(database: str, tmp_path: Path) -> AsyncIterator[Proxied]:
    settings = {"RATE_LIMITS": "1", "TRUSTED_PROXIES": f"{PROXY}/32", "STORAGE_URL": storage_of(tmp_path)}
    with ExitStack() as running:
        servers = [running.enter_context(server(database, tmp_path, **settings)) for _ in range(2)]
        yield running.enter_context(nginx([urlsplit(found.address).netloc for found in servers]))


def test_the_callers_address_is_told_and_cannot_be_forged(proxied: Proxied) -> None:
    def statuses(source: str, **headers: str) -> list[int]:
        with proxied.client(source) as http:
            path = "/functions/v1/bff-checkout"
            return [
                http.post(path, json={**CHECKOUT, "amount_cents": 100 + n}, headers={**KEY, **headers}).status_code
                for n in range(5)
            ]

    assert statuses(CALLER) == [200, 200, 200, 200, 429]
    # Of another address, and then under the names of others, in either header.
    assert statuses(OTHER) == [200, 200, 200, 200, 429]
    for forged in ("203.0.113.7", PROXY, "203.0.113.7, 127.0.0.1", "::1"):
        assert set(statuses(CALLER, **{"X-Forwarded-For": forged})) == {429}
        assert set(statuses(CALLER, Forwarded=f'for="{forged}"')) == {429}


def test_links_lead_back_through_the_proxy(proxied: Proxied) -> None:
    with proxied.client() as http:
        put = http.put("/storage/v1/object/travellers/a/visa.txt", content=b"a visa", headers=SERVICE)
        assert put.status_code == 200, put.text
        paid = http.post("/functions/v1/bff-checkout", json=CHECKOUT, headers=KEY).json()
        event = {"type": "payment_intent.succeeded", "data": {n: paid[n] for n in ("payment_id", "payment_intent")}}
        assert http.post("/functions/v1/stripe-webhook", json=event, headers=KEY).status_code == 200
        body = {"kind": "invoice", "payment_id": paid["payment_id"]}
        link = http.post("/functions/v1/fin-invoice-generate", json=body, headers=SERVICE).json()["signed_url"]
        assert link.startswith(f"{proxied.address}/storage/v1/")
        assert http.get(link, headers={"X-Forwarded-Host": "evil.example"}).content.startswith(b"%PDF")


def test_early_answers_arrive_whatever_is_sent(proxied: Proxied) -> None:
    large = b'{"x":"' + b"x" * 3 * MEBIBYTE + b'"}'
    early = {
        ("POST", "/functions/v1/bff-checkout"): ({}, 401),
        ("POST", "/functions/v1/permits-ops-approve"): (USER, 403),
        ("PUT", "/functions/v1/bff-checkout"): (KEY, 405),
        ("POST", "/functions/v1/nothing"): (KEY, 404),
        ("POST", "/functions/v1/permits-request"): (KEY, 413),
        ("PUT", "/storage/v1/object/invoices/a.pdf"): (USER, 403),
    }
    with proxied.client() as http:
        for (method, path), (headers, status) in early.items():
            for content in (large, iter([large[:MEBIBYTE], large[MEBIBYTE:]])):
                answer = http.request(method, path, content=content, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), path
        too_large = http.put("/storage/v1/object/travellers/a/b", content=b"x" * 64 * MEBIBYTE + b"x", headers=SERVICE)
        assert too_large.status_code == 413


@pytest.fixture
async def film(tmp_path: Path) -> bytes:
    """A stored file that is larger than what the service takes in one piece."""
    content = os.urandom(24 * MEBIBYTE)
    await store_at(storage_of(tmp_path), tmp_path, only_https=False).put(
        ObjectName("travellers", "a/film.bin"), content
    )
    return content


def test_large_files_come_out_whole_also_for_who_is_slow(proxied: Proxied, film: bytes) -> None:
    path = "/storage/v1/object/travellers/a/film.bin"
    with proxied.client() as http:
        began = time.monotonic()
        with http.stream("GET", path, headers=SERVICE) as answer:
            got = bytearray()
            for piece in answer.iter_bytes(MEBIBYTE):
                got += piece
                time.sleep(0.05)
        assert got == film
        assert time.monotonic() - began > 1
        part = http.get(path, headers={**SERVICE, "range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, film[1000:2000])
        # Rows come as a stream of unknown length.
        rows = http.get("/rest/v1/booking.itineraries?select=id", headers=SERVICE)
        assert (rows.status_code, len(rows.json()) > 0) == (200, True)


def test_large_bodies_go_in_whole(proxied: Proxied) -> None:
    """The database has seen them when it says what is wrong with them."""
    body = {"p_type": "text", "p_recipient": "+250788123456", "p_text": "x" * 40 * MEBIBYTE}
    with proxied.client() as http:
        refused = http.post("/rest/v1/rpc/send_message", json=body, headers=SERVICE)
        assert (refused.status_code, refused.json()["message"][:4]) == (400, "text"), refused.text


def test_metrics_are_not_for_everybody_and_nothing_is_in_the_clear(proxied: Proxied) -> None:
    with proxied.client() as http:
        for path in ("/metrics", "/metrics/", "/metrics//", "/metrics%2f", "/./metrics"):
            assert problem(http.get(path)) == (404, "NOT_FOUND", None), path
        plain = httpx.get(f"{proxied.plain}/docs")
        assert (plain.status_code, plain.headers["location"]) == (308, "https://127.0.0.1/docs")
        led = httpx.get(f"{proxied.plain}/docs?a=b", headers={"Host": "evil.example"}).headers["location"]
        assert led == "https://127.0.0.1/docs?a=b"


async def test_one_address_has_its_share(proxied: Proxied) -> None:
    asked = re.findall(r"limit_conn ecotrips_connections (\d+)", EXAMPLE)
    assert asked

    async def held() -> asyncio.StreamWriter:
        address = urlsplit(proxied.address)
        _, writer = await asyncio.open_connection(
            address.hostname, address.port, ssl=proxied.trust, local_addr=(CALLER, 0)
        )
        # nginx counts a connection once it has read a request's header.
        writer.write(b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n")
        await writer.drain()
        return writer

    writers = await asyncio.gather(*(held() for _ in range(int(asked[0]))))
    with proxied.client() as http, proxied.client(OTHER) as other:
        async with asyncio.timeout(TIMEOUT):
            while (answer := await asyncio.to_thread(http.get, "/healthz")).status_code != 429:
                await asyncio.sleep(0.05)
        assert problem(answer) == (429, "RATE_LIMITED", "1")
        assert other.get("/healthz").status_code == 200
    for writer in writers:
        writer.close()


def test_a_rolling_restart_is_not_noticed(database: str, tmp_path: Path) -> None:
    """As in an upgrade: one process after the other is restarted, the next one as soon as the one before is ready."""
    with ExitStack() as running:
        processes = [running.enter_context(server(database, tmp_path)) for _ in range(2)]
        proxied = running.enter_context(nginx([urlsplit(found.address).netloc for found in processes]))
        http = running.enter_context(proxied.client())

        def statuses(calls: int) -> set[int]:
            return {http.get("/functions/v1/ops-bookings", headers=KEY).status_code for _ in range(calls)}

        assert statuses(10) == {200}
        for process in processes:
            assert process.stop() == 0
            assert statuses(20) == {200}
            running.enter_context(server(database, tmp_path, PORT=str(urlsplit(process.address).port)))
        assert statuses(20) == {200}


def test_what_nginx_answers_by_itself_has_the_services_form() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with nginx([nobody, nobody]) as proxied, proxied.client() as http:
        assert problem(http.get("/healthz")) == (503, "TRANSIENT_RETRY", "1")
        announced = HTTPSConnection(urlsplit(proxied.address).netloc, context=proxied.trust)
        announced.request("POST", "/healthz", headers={"Content-Length": str(65 * MEBIBYTE)})
        large = announced.getresponse()
        refused = httpx.Response(large.status, headers=large.getheaders(), content=large.read())
        assert problem(refused) == (413, "INPUT_INVALID", None)
        assert "nginx/" not in httpx.get(f"{proxied.plain}/docs").headers["server"]


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    body = answer.json()
    assert body.keys() == {"ok", "code", "error", "errors", "request_id"}
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, body["code"], answer.headers.get("retry-after")


def test_connections_to_the_service_are_kept_for_less_than_it_keeps_them() -> None:
    kept = re.search(r"upstream ecotrips \{.*?keepalive_timeout (\d+)s;", EXAMPLE, re.DOTALL)
    assert kept
    assert HTTP1.header_read_timeout is not None
    assert int(kept[1]) * 1000 < HTTP1.header_read_timeout
