"""PDF/A-3b documents by typst, from one template and the fonts that the library brings."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from src.adapters.files.facturx import facturx
from src.adapters.files.xmp import with_facturx
from src.domain.money import minor_digits

if TYPE_CHECKING:
    import typst

TEMPLATE = Path(__file__).with_name("invoice.typ")


# The fonts hold Latin, Greek and Cyrillic letters, punctuation and currency signs, and PDF/A refuses a letter without a
# glyph. Letters of other scripts are printed as question marks; the row keeps them.
IN_THE_FONTS = re.compile("[\u0020-\u007e\u00a0-\u04ff\u1e00-\u1fff\u2010-\u2027\u2030-\u2040\u20a0-\u20bf\u2212]")


def printable(text: str) -> str:
    return "".join(
        letter if IN_THE_FONTS.match(letter) and (letter.isprintable() or letter.isspace()) else "?" for letter in text
    )


class TypstRenderer:
    """Renders one document at a time in a thread, because the compiler holds the GIL."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="documents")
        self._compiler: typst.Compiler | None = None

    async def render(self, content: Mapping[str, object]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.rendered, content)

    def rendered(self, content: Mapping[str, object]) -> bytes:
        """Renders synchronously. All that differs between documents comes in as data, never as markup."""
        if self._compiler is None:
            import typst  # noqa: PLC0415 - only the first document needs it

            self._compiler = typst.Compiler(TEMPLATE, ignore_system_fonts=True)
        structured = bool(content["facturx"])
        document = self._compiler.compile(
            format="pdf",
            sys_inputs={
                "data": printable(json.dumps(content, ensure_ascii=False)),
                "digits": str(minor_digits(str(content["currency"]))),
                "xml": facturx(content) if structured else "",
            },
            pdf_standards=["a-3b"],
            timestamp=datetime.fromisoformat(str(content["issued_at"])),
        )
        assert isinstance(document, bytes)  # noqa: S101 - a PDF is one file
        return with_facturx(document) if structured else document
