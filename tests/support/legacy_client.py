"""The handshake era by hand: one session, and messages in it."""

from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec

LEGACY_VERSION = "2025-11-25"
_HEADERS = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


async def initialize(
    client: httpx2.AsyncClient, path: str = "/mcp", capabilities: Mapping[str, object] | None = None
) -> str:
    """Open a session and return its id."""
    info = {"name": "test", "version": "1"}
    params = {"protocolVersion": LEGACY_VERSION, "capabilities": capabilities or {}, "clientInfo": info}
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    response = await client.post(path, content=msgspec.json.encode(body), headers=_HEADERS)
    assert response.status_code == 200, response.text
    return response.headers["mcp-session-id"]


def legacy_body(method: str, params: Mapping[str, object] | None = None, request_id: object = 1) -> bytes:
    """Return one request of the handshake era."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}})


def legacy_headers(session: str) -> dict[str, str]:
    """Return the headers of a message in a session."""
    return {**_HEADERS, "mcp-session-id": session, "mcp-protocol-version": LEGACY_VERSION}


async def legacy(
    client: httpx2.AsyncClient,
    session: str,
    method: str,
    params: Mapping[str, object] | None = None,
    *,
    path: str = "/mcp",
) -> httpx2.Response:
    """Send one request in a session."""
    return await client.post(path, content=legacy_body(method, params), headers=legacy_headers(session))


async def legacy_answer(
    client: httpx2.AsyncClient, session: str, method: str, params: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Return the JSON-RPC answer to one request in a session, as JSON or as the last event of a stream."""
    response = await legacy(client, session, method, params)
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):  # an answer that took its time
        text = [line for line in text.splitlines() if line.startswith("data:")][-1].removeprefix("data:")
    answer: dict[str, Any] = msgspec.json.decode(text)
    return answer
