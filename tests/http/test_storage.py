"""`/storage/v1` as a client sees it: who may, what links open, and what they never open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import asyncpg
import httpx
import jwt
import pytest
import time_machine

from tests.conftest import Api, serving

DOCUMENT = b"%PDF-1.7 " + bytes(range(256)) * 4
OBJECT = "/storage/v1/object/invoices/2026/INV-1.pdf"
SIGN = "/storage/v1/object/sign/invoices/2026/INV-1.pdf"


@pytest.fixture
async def store(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The application on a directory that has a secret beside it."""
    (tmp_path / "jwt_secret").write_text("secret")
    async with serving(database, storage_url=f"file://{tmp_path}/storage") as api:
        yield api


async def put(api: Api, content: bytes = DOCUMENT, path: str = OBJECT) -> None:
    assert (await api.http.put(path, content=content, headers=api.service)).status_code == 200


async def link(api: Api, path: str = SIGN, seconds: int = 60) -> str:
    answer = await api.http.post(path, json={"expiresIn": seconds}, headers=api.service)
    assert answer.status_code == 200
    return "/storage/v1" + str(answer.json()["signedURL"])


WHOLE = ({"type": "http.request", "body": b'{"expiresIn":5}', "more_body": False},)


async def on_the_wire(
    api: Api, method: str, path: bytes, events: Sequence[Mapping[str, object]] = WHOLE
) -> tuple[int, bytes]:
    """A request whose path no client library has tidied up."""
    sent: list[Any] = []
    arriving = iter(events)

    async def receive() -> Mapping[str, object]:
        return next(arriving)

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in api.service.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await api.app(cast("Any", scope), cast("Any", receive), cast("Any", send))
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def refusal(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["statusCode"] == str(answer.status_code)
    assert set(body) == {"statusCode", "error", "message"}
    return answer.status_code, body["error"]


async def test_a_link_opens_its_object_for_anybody(store: Api) -> None:
    await put(store)
    address = await link(store)
    assert address.startswith(f"{SIGN}?token=")
    answer = await store.http.get(address)
    assert (answer.status_code, answer.content) == (200, DOCUMENT)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith('attachment; filename="INV-1.pdf"')
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_what_the_service_changes_by_hand_leaves_a_row_without_its_path(
    store: Api, admin: asyncpg.Connection
) -> None:
    await put(store)
    assert (await store.http.delete(OBJECT, headers=store.service)).status_code == 200
    assert (await store.http.delete(OBJECT, headers=store.service)).status_code == 404
    assert (await store.http.put(OBJECT, content=b"x", headers=store.ops)).status_code == 403
    rows = await admin.fetch(
        "select what, who, payload from audit.events where what like 'storage.%' and request_id <> '' order by id"
    )
    expected = {"bucket": "invoices", "object_sha256": hashlib.sha256(b"invoices/2026/INV-1.pdf").hexdigest()}
    assert [(row["what"], row["who"], json.loads(row["payload"])) for row in rows] == [
        ("storage.put", "service-role", expected),
        ("storage.delete", "service-role", expected),
    ]


async def test_head_says_what_get_sends(store: Api) -> None:
    await put(store)
    address = await link(store)
    head, get = await store.http.head(address), await store.http.get(address)
    assert (head.status_code, head.content) == (200, b"")
    unlike = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in unlike} == {
        k: v for k, v in get.headers.items() if k not in unlike
    }


@pytest.mark.parametrize(
    ("asked", "status", "first", "end"),
    [
        ("bytes=0-8", 206, 0, 9),
        ("bytes=9-", 206, 9, None),
        ("bytes=-3", 206, -3, None),
        ("bytes=0-99999999999999999999", 206, 0, None),
        ("bytes=-99999999999999999999", 206, 0, None),
        ("bytes=0-" + "9" * 5000, 200, 0, None),
        ("bytes=5-2", 200, 0, None),
        ("bytes=0-1,3-4", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("pages=1-2", 200, 0, None),
    ],
)
async def test_a_range_is_a_part(store: Api, asked: str, status: int, first: int, end: int | None) -> None:
    await put(store)
    answer = await store.http.get(await link(store), headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, DOCUMENT[first:end])
    if status == 206:
        start = first % len(DOCUMENT)
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(DOCUMENT)}"


@pytest.mark.parametrize("asked", ["bytes=99999999999999999999-", "bytes=1033-", "bytes=-0"])
async def test_a_range_beyond_the_end_is_refused_with_the_size(store: Api, asked: str) -> None:
    await put(store)
    answer = await store.http.get(await link(store), headers={"range": asked})
    assert refusal(answer) == (416, "InvalidRange")
    assert answer.headers["content-range"] == f"bytes */{len(DOCUMENT)}"


async def test_a_range_of_another_version_gets_the_whole(store: Api) -> None:
    await put(store)
    address = await link(store)
    etag = (await store.http.head(address)).headers["etag"]
    same = await store.http.get(address, headers={"range": "bytes=0-1", "if-range": etag})
    other = await store.http.get(address, headers={"range": "bytes=0-1", "if-range": '"another"'})
    assert (same.status_code, other.status_code) == (206, 200)


async def test_a_file_is_saved_under_a_safe_name(store: Api) -> None:
    await put(store)
    address = await link(store)
    answer = await store.http.get(address, params={**dict(httpx.URL(address).params), "download": '../é"\r\nx;.pdf'})
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"____x_.pdf\"; filename*=UTF-8''%C3%A9%22__x%3B.pdf"
    )


async def test_an_expired_link_is_refused(store: Api) -> None:
    await put(store)
    address = await link(store, seconds=60)
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=57), tick=False):
        assert (await store.http.get(address)).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=60), tick=False):
        assert refusal(await store.http.get(address)) == (400, "ExpiredToken")


async def test_an_altered_link_is_refused(store: Api) -> None:
    await put(store)
    token = (await link(store)).partition("token=")[2]
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "default"})
    other_key = jwt.encode(claims, "x" * 40, algorithm="HS256", headers={"kid": "default"})
    unknown_key = jwt.encode(claims, "x" * 40, algorithm="HS256", headers={"kid": "unknown"})
    longer = jwt.encode({**claims, "exp": claims["exp"] + 1}, "x" * 40, algorithm="HS256").split(".")[1]
    apikey = store.service["apikey"]
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for forged in (
        "",
        "x",
        "a.b.c",
        f"{header}.{payload}.",
        f"{header}.{payload}.{flipped}",
        f"{header}.{longer}.{signature}",
        unsigned,
        other_key,
        unknown_key,
        apikey,
        "é",
        "x" * 10_000,
    ):
        answer = await store.http.get(SIGN, params={"token": forged})
        assert refusal(answer) == (400, "InvalidJWT"), forged


async def test_a_link_opens_no_other_path_and_no_other_bucket(store: Api) -> None:
    await put(store)
    await put(store, b"other", "/storage/v1/object/invoices/other.pdf")
    await put(store, b"plan", "/storage/v1/object/privacy_plans/2026/INV-1.pdf")
    token = (await link(store)).partition("token=")[2]
    for path in ("invoices/other.pdf", "privacy_plans/2026/INV-1.pdf"):
        answer = await store.http.get(f"/storage/v1/object/sign/{path}?token={token}")
        assert refusal(answer) == (400, "InvalidSignature")


async def test_deleting_or_replacing_an_object_kills_its_links(store: Api) -> None:
    await put(store)
    address = await link(store)
    await put(store)  # the same bytes, but another version
    assert refusal(await store.http.get(address)) == (400, "InvalidSignature")
    address = await link(store)
    assert (await store.http.delete(OBJECT, headers=store.service)).status_code == 200
    assert refusal(await store.http.get(address)) == (404, "not_found")
    await put(store)
    assert refusal(await store.http.get(address)) == (400, "InvalidSignature")


@pytest.mark.parametrize(
    "path",
    [
        "../jwt_secret",
        "invoices/../../jwt_secret",
        "invoices/%2e%2e/%2e%2e/jwt_secret",
        "invoices/%2E%2E%2F%2E%2E%2Fjwt_secret",
        "invoices/%252e%252e/%252e%252e/jwt_secret",
        "invoices/..%2f..%2fjwt_secret",
        "invoices/..%5c..%5cjwt_secret",
        "invoices/..\\..\\jwt_secret",
        "invoices//etc/passwd",
        "invoices/%00",
        "invoices/2026/INV-1.pdf%00.txt",
        "invoices/2026//INV-1.pdf",
        "invoices/2026/INV-1.pdf/",
        "invoices/%ff",
        "invoices/é.pdf",
        "invoices",
        "invoices/",
        "passwords/x",
        "",
    ],
)
async def test_no_path_leads_out_of_a_bucket(store: Api, path: str) -> None:
    await put(store)
    for prefix, method in (("", "GET"), ("", "PUT"), ("", "DELETE"), ("sign/", "GET"), ("sign/", "POST")):
        status, body = await on_the_wire(store, method, f"/storage/v1/object/{prefix}{path}".encode())
        assert status in (404, 405), (prefix, method)
        assert b"secret" not in body


async def test_objects_are_for_the_service_alone(store: Api) -> None:
    await put(store)
    for headers, expected in (({}, 401), (store.anonymous, 401), (store.user(), 403), (store.ops, 403)):
        for method, path in (("GET", OBJECT), ("HEAD", OBJECT), ("PUT", OBJECT), ("DELETE", OBJECT), ("POST", SIGN)):
            body: dict[str, Any] = {"json": {"expiresIn": 60}} if method == "POST" else {}
            answer = await store.http.request(method, path, headers=headers, **body)
            assert answer.status_code == expected, (method, headers)
    got = await store.http.get(OBJECT, headers=store.service)
    assert got.content == DOCUMENT


@pytest.mark.parametrize("seconds", [0, -1, 1.5, "60", True, None, 10**10])
async def test_a_lifetime_is_a_number_of_seconds(store: Api, seconds: object) -> None:
    await put(store)
    answer = await store.http.post(SIGN, json={"expiresIn": seconds}, headers=store.service)
    assert refusal(answer) == (400, "InvalidRequest")


async def test_what_is_not_there_is_not_signed(store: Api) -> None:
    answer = await store.http.post(SIGN, json={"expiresIn": 60}, headers=store.service)
    assert refusal(answer) == (404, "not_found")


async def test_other_methods_say_what_is_allowed(store: Api) -> None:
    answer = await store.http.patch(OBJECT, headers=store.service)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")


async def test_links_of_an_old_key_live_until_the_key_is_taken_out(database: str, tmp_path: Path) -> None:
    place = {"storage_url": f"file://{tmp_path}"}
    old, new = "o" * 32, "n" * 32
    async with serving(database, **place, link_secrets={"2025": old}) as api:
        await put(api)
        before = await link(api)
    async with serving(database, **place, link_secrets={"2026": new, "2025": old}) as api:
        after = await link(api)
        assert jwt.get_unverified_header(after.partition("token=")[2])["kid"] == "2026"
        assert [(await api.http.get(address)).status_code for address in (before, after)] == [200, 200]
    async with serving(database, **place, link_secrets={"2026": new}) as api:
        assert [(await api.http.get(address)).status_code for address in (before, after)] == [400, 200]


async def test_the_audit_line_names_the_link_and_not_its_token(store: Api, capfd: pytest.CaptureFixture[str]) -> None:
    await put(store)
    address = await link(store)
    await store.http.get(address, headers={"x-request-id": "r-1"})
    token = address.partition("token=")[2]
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    written = capfd.readouterr().out
    assert token not in written
    # audit.events has the whole digest of a change.
    digest = hashlib.sha256(b"invoices/2026/INV-1.pdf").hexdigest()[:16]
    assert (
        "AUDIT storage.object requestId=r-1 actor=anonymous"
        f" method=GET bucket=invoices object={digest} link={jti} status=200"
    ) in written
    assert "INV-1" not in written


async def test_a_store_that_is_away_is_a_503(database: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        async with serving(database, storage_url="s3://nowhere") as api:
            answer = await api.http.get(OBJECT, headers=api.service)
    assert refusal(answer) == (503, "SlowDown")
    assert json.loads(answer.content)["message"] == "The storage is temporarily unavailable"


async def test_an_upload_that_breaks_off_replaces_nothing(api: Api) -> None:
    await put(api)
    begun = {"type": "http.request", "body": DOCUMENT[:2], "more_body": True}
    path = OBJECT.encode()
    status, _ = await on_the_wire(api, "PUT", path, [begun, {"type": "http.disconnect"}])
    assert status == 400
    assert (await api.http.get(OBJECT, headers=api.service)).content == DOCUMENT


@pytest.mark.parametrize("length", [240, 241, 255])
async def test_a_name_is_as_long_as_file_systems_keep(store: Api, length: int) -> None:
    path = f"/storage/v1/object/travellers/{'x' * length}"
    stored = await store.http.put(path, content=b"x", headers=store.service)
    assert stored.status_code == (200 if length <= 240 else 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "object/sign/travellers/", 404),
        ("GET", "nothing", 404),
        ("GET", "object", 404),
        ("PATCH", "object/a/b", 405),
    ],
)
async def test_what_no_route_takes_is_told_in_the_form_of_the_store(
    api: Api, method: str, path: str, status: int
) -> None:
    answer = await api.http.request(method, f"/storage/v1/{path}", headers=api.service)
    assert answer.status_code == status
    assert answer.json()["statusCode"] == str(status)
    assert set(answer.json()) == {"statusCode", "error", "message"}
