"""`python -m tests.fakes.whatsapp [--port 8090] [--webhook http://127.0.0.1:8000/functions/v1/wa-webhook]`."""

from __future__ import annotations

import argparse
from threading import Thread
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.fakes.whatsapp import FakeWhatsApp
from tests.fakes.whatsapp.server import server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.whatsapp", description="A fake WhatsApp Cloud API.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--webhook", default="", help="where reports go")
    given = parser.parse_args()
    fake = FakeWhatsApp()

    def report() -> None:
        for body in fake.reports():
            headers = {"content-type": "application/json", "x-hub-signature-256": fake.signature(body)}
            try:
                urlopen(Request(given.webhook, body, headers), timeout=5).close()  # noqa: S310 - an address given by hand
            except URLError as error:
                print(f"webhook: {error.reason}", flush=True)

    print(
        f"serve with: WA_GRAPH_BASE=http://127.0.0.1:{given.port} WA_PHONE_ID={fake.phone_id}"
        f" WA_ACCESS_TOKEN={fake.token} WA_APP_SECRET={fake.app_secret} WA_OFFLINE=0",
        flush=True,
    )
    taken = (lambda: Thread(target=report, daemon=True).start()) if given.webhook else (lambda: None)
    try:
        server(fake, given.port, taken).serve_forever()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
