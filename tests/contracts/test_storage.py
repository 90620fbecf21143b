"""The object store: one suite on a directory, on a server that speaks S3, and in memory."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from src.adapters.files.store import FileStore, UnknownStoreError, store_at
from src.domain.errors import Conflict, NotFound, Unavailable
from src.domain.storage import ObjectName

BUCKET = """<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"""
NUMBERS = count()
NAME = ObjectName("invoices", "2026/INV-20261124-0001.pdf")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[None]:
    """A local S3 with a bucket, found through the same variables as the real one."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/documents", content=BUCKET).raise_for_status()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_REGION", "eu-west-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield
    server.stop()


@pytest.fixture(params=["directory", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "s3":
        request.getfixturevalue("s3_server")
        return store_at(f"s3://documents/{next(NUMBERS)}", tmp_path, only_https=False)
    return store_at({"directory": "", "memory": "memory://"}[request.param], tmp_path / "storage", only_https=False)


async def content(store: FileStore, name: ObjectName, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(await store.head(name), start, end)])


async def test_what_is_put_is_read(store: FileStore) -> None:
    stored = await store.put(NAME, b"%PDF-1.7 hello")
    assert stored == await store.head(NAME)
    assert (stored.name, stored.size) == (NAME, 14)
    assert await content(store, NAME) == b"%PDF-1.7 hello"
    assert await content(store, NAME, 5, 8) == b"1.7"


async def test_an_empty_object_is_an_object(store: FileStore) -> None:
    await store.put(NAME, b"")
    assert await content(store, NAME) == b""


async def test_an_artefact_is_written_once(store: FileStore) -> None:
    first = await store.put(NAME, b"first")
    with pytest.raises(Conflict):
        await store.put(NAME, b"second")
    assert await store.head(NAME) == first
    assert await content(store, NAME) == b"first"


async def test_a_replacement_is_another_version_even_of_the_same_size(store: FileStore) -> None:
    first = await store.put(NAME, b"first")
    second = await store.put(NAME, b"other", replace=True)
    assert first.version != second.version
    with pytest.raises(NotFound):
        await anext(store.read(first))


async def test_what_is_deleted_is_gone_and_deleting_again_is_no_fault(store: FileStore) -> None:
    stored = await store.put(NAME, b"first")
    await store.delete(NAME)
    await store.delete(NAME)
    with pytest.raises(NotFound):
        await store.head(NAME)
    with pytest.raises(NotFound):
        await anext(store.read(stored))


async def test_a_bucket_is_listed_whole_or_by_folder(store: FileStore) -> None:
    for bucket, path in (
        ("invoices", "b.pdf"),
        ("invoices", "a/1.pdf"),
        ("invoices", "ab/2.pdf"),
        ("privacy_exports", "x"),
    ):
        await store.put(ObjectName(bucket, path), b"x")
    assert [stored.name.path for stored in await store.listed("invoices")] == ["a/1.pdf", "ab/2.pdf", "b.pdf"]
    assert [stored.name.path for stored in await store.listed("invoices", "a/")] == ["a/1.pdf"]
    assert await store.listed("privacy_plans") == []
    with pytest.raises(NotFound):
        await store.listed("passwords")


async def test_an_object_of_many_pieces_comes_whole(store: FileStore) -> None:
    whole = os.urandom(3 * 1024 * 1024)
    await store.put(NAME, whole)
    assert await content(store, NAME) == whole
    assert await content(store, NAME, 1024 * 1024, 2 * 1024 * 1024) == whole[1024 * 1024 : 2 * 1024 * 1024]


async def test_a_file_of_many_pieces_takes_the_place_of_what_was_there(store: FileStore) -> None:
    whole = os.urandom(11 * 1024 * 1024)
    first = await store.put(NAME, b"first")
    stored = await store.put_file(NAME, io.BytesIO(whole))
    assert (stored.size, stored.version != first.version) == (len(whole), True)
    assert await content(store, NAME) == whole
    assert await store.put_file(NAME, io.BytesIO()) == await store.head(NAME)
    assert await content(store, NAME) == b""


@pytest.mark.parametrize(
    ("bucket", "path"),
    [
        ("invoices", "../jwt_secret"),
        ("invoices", "a/../../jwt_secret"),
        ("invoices", "a/./b"),
        ("invoices", "/etc/passwd"),
        ("invoices", "a//b"),
        ("invoices", "a/"),
        ("invoices", ""),
        ("invoices", "a\0b"),
        ("invoices", "a\nb"),
        ("invoices", "a\\..\\b"),
        ("invoices", "%2e%2e/b"),
        ("invoices", "a#1"),
        ("invoices", ".hidden"),
        ("invoices", "ä.pdf"),
        ("invoices", "a" * 513),
        ("passwords", "a"),
        ("", "a"),
        ("..", "a"),
    ],
)
def test_no_name_leads_out_of_a_bucket(bucket: str, path: str) -> None:
    with pytest.raises(NotFound):
        ObjectName(bucket, path)


async def test_a_link_laid_into_the_directory_is_not_followed(tmp_path: Path) -> None:
    store = store_at("", tmp_path / "storage", only_https=False)
    inside = await store.put(NAME, b"inside")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "storage/invoices/out").symlink_to(tmp_path / "secret")
    (tmp_path / "storage/invoices/folder").symlink_to(tmp_path)
    for path in ("out", "folder/secret"):
        with pytest.raises(NotFound):
            await store.head(ObjectName("invoices", path))
    target = tmp_path / "storage/invoices/2026/INV-20261124-0001.pdf"
    target.unlink()
    target.symlink_to(tmp_path / "secret")
    with pytest.raises(NotFound):
        await anext(store.read(inside))


@pytest.mark.usefixtures("s3_server")
async def test_a_store_that_is_away_says_so_soon_and_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(Unavailable) as error:
            await store_at("s3://documents", tmp_path, only_https=False).put(NAME, b"x")
    assert "127.0.0.1" not in str(error.value)


def test_an_unknown_kind_of_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownStoreError):
        store_at("ftp://somewhere", tmp_path, only_https=False)
