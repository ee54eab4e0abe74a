"""The child that holds a sandbox: one run, no environment, nothing but two pipes. Started as a file, by `code_run`.

    in   {"code": …, "limits": …}                    once
    out  {"call": 1, "name": …, "arguments": …}      for each call that the code makes
    in   {"answer": 1, "value": …} or {"answer": 1, "error": …}
    out  {"done": …} or {"failed": …}, with "printed"      at the end

The code is Python as Monty, an interpreter with bounds and without any ambient authority, reads it; Monty runs
it in a process of its own again. This module imports nothing of the gateway.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any, cast

MAX_LINE = 8 * 1024 * 1024
CPU_S = 60  # of this process; the sandbox has its own bound
MAX_ERROR_CHARS = 2_000


class Host:
    """The other end of the pipes."""

    def __init__(self, reader: asyncio.StreamReader, at_once: int) -> None:
        self._reader = reader
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._gate = asyncio.Semaphore(at_once)
        self._count = 0

    async def call(self, name: object, arguments: Any = None) -> object:
        """Have the gateway call a tool; raises `RuntimeError` with its words when it does not, or the tool fails."""
        if not isinstance(name, str) or not isinstance(arguments, dict | None):
            raise TypeError("call(name, arguments) takes the name of a tool and a dict")
        async with self._gate:
            self._count += 1
            number = self._count
            future = self._waiting[number] = asyncio.get_running_loop().create_future()
            given = cast("dict[str, Any]", arguments or {})
            tell({"call": number, "name": name, "arguments": given})
            return await future

    async def hear(self) -> None:
        """Take answers until the pipe ends."""
        while line := await self._reader.readline():
            said = json.loads(line)
            future = self._waiting.pop(said["answer"])
            if "error" in said:
                future.set_exception(RuntimeError(said["error"]))
            else:
                future.set_result(said["value"])
        os._exit(1)  # nobody is there any more


def tell(message: Mapping[str, object]) -> None:
    """Write one line to the gateway; raises `TypeError` and `ValueError` for what is no JSON."""
    line = json.dumps(message, ensure_ascii=True, allow_nan=False)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Run the code that the first line brings, and say what came of it."""
    import pydantic_monty as monty  # after the bounds are set

    reader = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    wanted = json.loads(await reader.readline())
    limits = wanted["limits"]
    host = Host(reader, limits["at_once"])
    hearing = asyncio.ensure_future(host.hear())
    printed = monty.CollectString(limits["printed_bytes"])
    bounds = monty.ResourceLimits(
        max_feed_duration_secs=limits["cpu_s"], max_memory=limits["memory_bytes"], max_recursion_depth=200,
        max_suspensions=limits["calls"], max_total_sleep_secs=0.0,
    )  # fmt: skip
    policy = monty.OSPolicy(sleep="zero")
    told: dict[str, object]
    try:
        async with (
            monty.AsyncMonty(min_processes=1, max_processes=1, max_checkouts_per_worker=1) as pool,
            pool.checkout(limits=bounds, os_policy=policy) as session,
        ):
            value = await session.feed_run(wanted["code"], external_lookup={"call": host.call}, print_callback=printed)
        told = {"done": value}
    except monty.MontySyntaxError as error:
        told = {"failed": f"the code cannot be read: {error}"[:MAX_ERROR_CHARS]}
    except monty.MontyError as error:
        told = {"failed": str(error)[:MAX_ERROR_CHARS]}
    hearing.cancel()
    try:
        tell({**told, "printed": printed.output})
    except (TypeError, ValueError, RecursionError):
        tell({"failed": "the result is no JSON: return lists, dicts, texts and numbers", "printed": printed.output})
    sys.stdout.flush()
    os._exit(0)  # whatever the sandbox's threads are at


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    asyncio.run(main())
