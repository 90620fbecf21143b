"""Names of objects that lead nowhere else, and versions that differ after every replacement."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from src.domain.errors import NotFound
from src.domain.storage import BUCKETS, Link, ObjectName, StoredObject
from tests.support.ports import NOW

STORED = StoredObject(ObjectName("invoices", "2026/INV-1.pdf"), 12, NOW, "etag")


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("path", ["a", "2026/INV-20261124-0001.pdf", "_x/y_z.tar.gz", "a" * 240, f"{'a/' * 255}bc"])
def test_a_plain_path_in_a_bucket_of_ours_is_a_name(bucket: str, path: str) -> None:
    assert str(ObjectName(bucket, path)) == f"{bucket}/{path}"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", ".hidden", "a/.b", "-a", "a\\b", "a b"),
        *("a\n", "a\0", "%2e%2e/a", "a?b", "a:b", "é", "٣", "a" * 241, f"{'a/' * 256}b"),
    ],
)
def test_what_could_lead_elsewhere_is_no_name(path: str) -> None:
    with pytest.raises(NotFound):
        ObjectName("invoices", path)


@pytest.mark.parametrize("bucket", ["", "other", "Invoices", "invoices/2026", "../invoices"])
def test_another_bucket_does_not_exist(bucket: str) -> None:
    with pytest.raises(NotFound):
        ObjectName(bucket, "a.pdf")


@pytest.mark.parametrize(
    ("path", "media_type", "file_name"),
    [
        ("2026/a.pdf", "application/pdf", "a.pdf"),
        ("a.b.zip", "application/zip", "a.b.zip"),
        ("x/a.html", "application/octet-stream", "a.html"),
        ("pdf", "application/pdf", "pdf"),
        ("a/no_ending", "application/octet-stream", "no_ending"),
    ],
)
def test_a_files_ending_says_its_type_and_nothing_is_a_page(path: str, media_type: str, file_name: str) -> None:
    name = ObjectName("travellers", path)
    assert (name.media_type, name.file_name) == (media_type, file_name)


def test_every_replacement_is_another_version() -> None:
    later = NOW + timedelta(microseconds=1)
    versions = [STORED, replace(STORED, etag="other"), replace(STORED, size=13), replace(STORED, modified_at=later)]
    assert len({stored.version for stored in versions}) == len(versions)
    assert replace(STORED).version == STORED.version


def test_a_link_is_absolute_on_the_services_address() -> None:
    link = Link("/object/sign/invoices/a.pdf?token=x", "id", NOW)
    assert link.url("https://ops.example") == "https://ops.example/storage/v1/object/sign/invoices/a.pdf?token=x"
