"""How long a page takes: `python -m bench.documents [pages]`. Prints milliseconds and the size of a PDF.

The processor time of a page hardly moves when other programs keep the machine busy; the time that goes by does.
"""

from __future__ import annotations

import statistics
import sys
import time

from src.adapters.files.documents import TypstRenderer
from tests.support.documents import INVOICE

REACH = 15.0
"""Milliseconds a page, the median."""


def measure(pages: int, *, facturx: bool) -> None:
    renderer = TypstRenderer()
    began = time.perf_counter()
    size = len(renderer.rendered(INVOICE | {"facturx": facturx}))
    first = 1000 * (time.perf_counter() - began)
    taken, worked = [], []
    for number in range(pages):
        content = INVOICE | {"number": f"INV-20261124-{number:04d}", "total_cents": number, "facturx": facturx}
        began, busy = time.perf_counter(), time.process_time()
        renderer.rendered(content)
        taken.append(1000 * (time.perf_counter() - began))
        worked.append(1000 * (time.process_time() - busy))
    taken.sort()
    median = statistics.median(taken)
    print(
        f"{'with Factur-X' if facturx else 'page alone':<14} pages={pages} first={first:.1f} ms median={median:.1f} ms"
        f" ({'within' if median < REACH else 'over'} {REACH:.0f}) p95={taken[int(0.95 * pages)]:.1f} ms"
        f" processor={statistics.median(worked):.1f} ms size={size} bytes"
    )


if __name__ == "__main__":
    for attached in (False, True):
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200, facturx=attached)
