"""A process that writes calls as fast as it can and says which are durable, until it is killed.

    python audit_crash_writer.py DIRECTORY ROUND

Prints `ready`, then one line per acknowledged record: index and call id.
"""

import asyncio
import sys
import time
from pathlib import Path

from agent_gateway.audit.writer import Limits
from support.audit_log import decision, open_log, outcome

LIMITS = Limits(checkpoint_every_s=0.01, checkpoint_every_records=50, max_batch_records=40)


async def main(directory: Path, run: str) -> None:
    async with open_log(directory, LIMITS, at=time.time) as log:
        print("ready", flush=True)

        async def caller(name: str) -> None:
            for number in range(1_000_000):
                call = f"{run}-{name}-{number}"
                index = log.append(decision(call))
                await log.durable(index)
                sys.stdout.write(f"{index} {call}\n")
                sys.stdout.flush()
                log.append(outcome(call))

        await asyncio.gather(*(caller(f"caller{number}") for number in range(64)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
