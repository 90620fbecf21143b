"""The documents: what a page says, and that it is the same bytes everywhere."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys

import pytest
from pypdf import PdfReader

from src.adapters.files.documents import TypstRenderer, printable
from tests.support.documents import CREDIT_NOTE, INVOICE


@pytest.fixture(scope="module")
def renderer() -> TypstRenderer:
    return TypstRenderer()


def text_of(document: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(document)).pages).split())


def test_an_invoice_says_all_that_finance_needs(renderer: TypstRenderer) -> None:
    text = text_of(renderer.rendered(INVOICE))
    for needed in (
        "Invoice", "INV-20261124-0001", "24 November 2026", "ecoTrips Ltd", "KG 7 Avenue", "TIN 000000000",
        "Amina Uwase", "11111111-1111-4111-8111-111111111111", "Hotel", "1 October 2025 \u2013 5 October 2025",
        "2 travellers", "Net amount 1,045,800.84", "VAT 18.05 % 188,767.05", "USD 1,234,567.89", "Amount due 0.00",
        "pi_1", "page 1 of 1",
    ):  # fmt: skip
        assert needed in text, needed


def test_a_credit_note_names_its_invoice_and_francs_have_no_decimals(renderer: TypstRenderer) -> None:
    text = text_of(renderer.rendered(CREDIT_NOTE))
    for needed in ("Credit note", "INV-20261124-0001-CN", "20 November 2026", "RWF 1,250,000", "VAT 0 % 0", "re_1"):
        assert needed in text, needed
    assert "1,250,000." not in text
    assert "Amount due" not in text


@pytest.mark.parametrize(
    ("minor", "shown"), [(1, "USD 0.01"), (10, "USD 0.10"), (100, "USD 1.00"), (10**12, "USD 10,000,000,000.00")]
)
def test_amounts_are_shown_in_their_currency(renderer: TypstRenderer, minor: int, shown: str) -> None:
    assert shown in text_of(renderer.rendered(INVOICE | {"total_cents": minor}))


def test_another_process_renders_the_same_bytes(renderer: TypstRenderer) -> None:
    program = (
        "import hashlib, json, sys; from src.adapters.files.documents import TypstRenderer;"
        "print(hashlib.sha256(TypstRenderer().rendered(json.load(sys.stdin))).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(INVOICE),
        env={"TZ": "Pacific/Auckland", "LANG": "fr_FR.UTF-8", "HOME": "/nonexistent", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    renderer.rendered(CREDIT_NOTE)  # what the compiler made before must not matter
    assert other.stdout.strip() == hashlib.sha256(renderer.rendered(INVOICE)).hexdigest()


def test_text_is_never_markup(renderer: TypstRenderer) -> None:
    hostile = '#panic("x") $1$ *b* _i_ \\ "q" <label> @ref [ ] // /* `raw`'
    seen = renderer.rendered(INVOICE | {"buyer": {"name": hostile, "reference": '#read("/etc/passwd")'}})
    text = text_of(seen)
    assert '#panic("x")' in text
    assert "root:" not in text


def test_every_printable_letter_has_a_glyph_and_the_others_do_not_stop_a_document(renderer: TypstRenderer) -> None:
    known = "".join(letter for letter in map(chr, range(0x20, 0x2213)) if printable(letter) == letter)
    assert set("Žñ ΩЖ€\u2013") <= set(known)
    renderer.rendered(INVOICE | {"buyer": {"name": known, "reference": "x"}})
    for name in ("李雷", "😀", "नमस्ते", "محمد", "a\u0300b", "\ud7ff\ufffd\u200b"):
        renderer.rendered(INVOICE | {"buyer": {"name": name, "reference": "x"}})
    assert "?? Lei" in text_of(renderer.rendered(INVOICE | {"buyer": {"name": "李雷 Lei", "reference": "x"}}))


def test_a_long_invoice_runs_over_pages_with_its_head_repeated(renderer: TypstRenderer) -> None:
    document = renderer.rendered(INVOICE | {"lines": INVOICE["lines"] * 60})
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(document)).pages]
    assert len(pages) > 2
    assert all("DESCRIPTION" in page for page in pages[:-1])


def test_a_word_too_long_for_its_column_goes_on_in_the_next_line(renderer: TypstRenderer) -> None:
    text = text_of(renderer.rendered(INVOICE | {"buyer": {"name": "u" * 100, "reference": "x"}}))
    assert max(len(word.replace("\u200b", "")) for word in text.split()) < 50
    assert text.count("u" * 20) == 5
