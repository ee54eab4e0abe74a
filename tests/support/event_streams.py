"""A client of the HTTP+SSE transport by hand: one open event stream, and what is posted to it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from support.legacy_client import legacy_body

JSON = {"content-type": "application/json"}
HELLO = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}


@dataclass
class Stream:
    """One open event stream, and where its messages go."""

    client: httpx2.AsyncClient
    response: httpx2.Response
    events: AsyncIterator[tuple[str, str]]
    place: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def post(self, body: bytes, place: str = "") -> httpx2.Response:
        return await self.client.post(place or self.place, content=body, headers=JSON)

    async def next(self) -> dict[str, Any]:
        kind, data = await anext(self.events)
        assert kind == "message"
        self.heard.append(msgspec.json.decode(data))
        return self.heard[-1]

    async def ask(self, method: str, params: dict[str, Any] | None = None, request_id: object = 1) -> dict[str, Any]:
        """Post a request and return its answer, whatever comes before."""
        taken = await self.post(legacy_body(method, params, request_id))
        assert (taken.status_code, taken.content) == (202, b"Accepted")
        while (told := await self.next()).get("id") != request_id:
            pass
        return told

    async def initialize(self) -> dict[str, Any]:
        told = await self.ask("initialize", HELLO, 0)
        noted = await self.post(msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        assert (noted.status_code, noted.content) == (202, b"")
        return told["result"]


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Yield kind and data of each event."""
    kind, data = "message", ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data = line[6:]
        elif not line and data:
            yield kind, data
            kind, data = "message", ""


@asynccontextmanager
async def opened(client: httpx2.AsyncClient, path: str = "/mcp/sse") -> AsyncGenerator[Stream]:
    """Open a stream and read where messages go."""
    async with client.stream("GET", path, headers={"accept": "text/event-stream"}) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        stream = Stream(client, response, events_of(response.aiter_lines()))
        kind, stream.place = await anext(stream.events)
        assert kind == "endpoint"
        assert stream.place.startswith(f"{path}?session_id=")
        yield stream
