"""How long a document takes: `python -m bench.documents [pages]`. Prints milliseconds and the size of a PDF."""

from __future__ import annotations

import statistics
import sys
import time

from src.adapters.files.documents import TypstRenderer
from tests.adapters.test_documents import INVOICE


def main(documents: int) -> None:
    renderer = TypstRenderer()
    began = time.perf_counter()
    size = len(renderer.rendered(INVOICE))
    first = 1000 * (time.perf_counter() - began)
    seconds = []
    for number in range(documents):
        began = time.perf_counter()
        renderer.rendered(INVOICE | {"number": f"INV-20261124-{number:04d}", "total_cents": number})
        seconds.append(1000 * (time.perf_counter() - began))
    seconds.sort()
    median, slowest = statistics.median(seconds), seconds[int(0.95 * documents)]
    print(f"documents={documents} first={first:.1f} ms median={median:.1f} ms p95={slowest:.1f} ms size={size} bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
