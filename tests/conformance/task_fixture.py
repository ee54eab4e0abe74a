"""The upstream of the suite's `tasks-*` scenarios, by hand: the SDK has no tasks of either form.

`python -m conformance.task_fixture modern|legacy` listens on a free loopback port and writes `PORT n` as its
first line. `modern` has the extension of 2026-07-28, `legacy` the tasks of 2025-11-25: there every tool but one
must be a task, since a server of that era does not choose.
"""

import asyncio
import sys
from dataclasses import replace

from support.legacy_task_server import LegacyTaskServer
from support.task_jobs import OFFERS
from support.task_server import TaskServer, served


async def main(kind: str) -> None:
    """Serve until the process is ended."""
    must = {name: offer if name == "greet" else replace(offer, support="required") for name, offer in OFFERS.items()}
    app = TaskServer() if kind == "modern" else LegacyTaskServer(offers=must)
    async with served(app) as server:
        print(f"PORT {server.url.split(':')[2].partition('/')[0]}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
