"""The bundled load generator: a closed loop of keep-alive connections on callbacks, in a process of its own.

`python load_client.py` reads one JSON object on standard input {url, headers, body, connections,
seconds} and prints one: {requests, seconds, p50_ms, p99_ms, failures}. Anything but a 2xx answer
is a failure, and so is a connection that breaks; a broken one is made anew.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

GRACE_S = 10.0  # for answers still on their way when time is up
MAX_BROKEN = 1000  # connections made anew in one run


@dataclass(slots=True)
class Run:
    """One run: what to send, until when, and what came of it."""

    request: bytes
    until: float
    running: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    latencies_s: list[float] = field(default_factory=list[float])
    failures: int = 0

    def leave(self) -> None:
        """Count one connection out."""
        self.running -= 1
        if not self.running:
            self.done.set()


class Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, send again."""

    def __init__(self, run: Run, closed: asyncio.Future[None]) -> None:
        self._run = run
        self._closed = closed
        self._parser = httptools.HttpResponseParser(self)
        self._sent_at = 0.0
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._is_waiting = False
        self._run.latencies_s.append(now - self._sent_at)
        if not 200 <= self._parser.get_status_code() < 300:
            self._run.failures += 1
        if now >= self._run.until or not self._parser.should_keep_alive():
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting:
            self._run.failures += 1
        if not self._closed.done():
            self._closed.set_result(None)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._is_waiting = True
        self._transport.write(self._run.request)


async def drive(url: str, headers: Mapping[str, str], body: str, connections: int, seconds: float) -> dict[str, float]:
    """Load `url` and return the figures of the run."""
    target = urlsplit(url)
    host, port = target.hostname or "127.0.0.1", target.port or 80
    content = body.encode()
    lines = [f"POST {target.path or '/'} HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    start = time.perf_counter()
    run = Run("\r\n".join([*lines, "", ""]).encode() + content, start + seconds, connections)
    tasks = [asyncio.create_task(_keep_connected(run, host, port)) for _ in range(connections)]
    try:
        async with asyncio.timeout(seconds + GRACE_S):
            await run.done.wait()
    except TimeoutError:
        run.failures += run.running
    took = time.perf_counter() - start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ordered = sorted(run.latencies_s)
    return {
        "requests": len(ordered),
        "seconds": took,
        "p50_ms": _percentile_ms(ordered, 0.50),
        "p99_ms": _percentile_ms(ordered, 0.99),
        "failures": run.failures,
    }


async def _keep_connected(run: Run, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    while time.perf_counter() < run.until and run.failures < MAX_BROKEN:
        closed: asyncio.Future[None] = loop.create_future()
        try:
            await loop.create_connection(lambda closed=closed: Client(run, closed), host, port)
        except OSError:
            run.failures += 1
            break
        await closed
    run.leave()


def _percentile_ms(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(uvloop.run(drive(**asked))))
