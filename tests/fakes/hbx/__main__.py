"""`python -m tests.fakes.hbx [port]`: the fake by hand, and what the service must be told to use it."""

import asyncio
import sys

from tests.fakes.hbx.server import running


async def main(port: int) -> None:
    async with running(port) as fake:
        print(
            f"serve with: INVENTORY_OFFLINE=0 HBX_BASE_URL={fake.url} HBX_API_KEY={fake.key}"
            f" HBX_API_SECRET={fake.secret}\n"
            f"""a bad day:  curl -X PUT -d '{{"mode":"limited","times":4}}' {fake.url}/control""",
            flush=True,
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8091))
