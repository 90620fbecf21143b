"""By hand: `python -m tests.fakes.hbx [port]`, key `key`, secret `secret`."""

import asyncio
import sys

from tests.fakes.hbx.server import running


async def main(port: int) -> None:
    async with running(port) as fake:
        print(
            f'HBX_BASE_URL={fake.url} HBX_API_KEY=key HBX_API_SECRET=secret; PUT {fake.url}/control {{"mode":"slow"}}'
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8090))
