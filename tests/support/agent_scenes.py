"""A gateway with agents behind it, two callers of one tenant and one of another, and words for what they say."""

import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson

from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.scenes import FILES, world

POLICY = """\
@id("acme-uses")
permit (principal in Tenant::"acme", action in Action::"use", resource) unless { resource.tags.contains("secret") };
@id("globex-uses")
permit (principal in Tenant::"globex", action in Action::"use", resource) unless { resource.tags.contains("secret") };
"""
V1 = {"a2a-version": "1.0"}


@contextlib.asynccontextmanager
async def agents_behind(
    folder: Path, entries: Iterable[str], more: str = "", policy: str = POLICY, people: str = ""
) -> AsyncGenerator[TestGateway]:
    """Run a gateway before the agents of these entries (lines of YAML); `people` are further callers."""
    config = world(entries, more).replace("agents:\n", f"agents:\n{people}", 1)
    async with gateway(folder, config, **{**FILES, "main__cedar": policy}) as running:
        yield running


async def all_there(running: TestGateway, within_s: float = 120) -> None:
    """Wait until every upstream has shown what it has: a busy machine takes its time to start a server."""
    with anyio.fail_after(within_s):
        while running.worker.gateway.snapshot.missing:
            await running.worker.keeper.refresh(running.worker.gateway)


def caller(running: TestGateway, agent: str, path: str = "/a2a/worker") -> httpx2.AsyncClient:
    """Return a client of a configured agent, with a token for one endpoint."""
    return running.client(token_for(running, agent, path))


def token_for(running: TestGateway, agent: str, path: str = "/a2a/worker") -> str:
    identity = running.worker.gateway.snapshot.identity
    found = identity.agents.get(agent)
    assert identity.token_service is not None
    assert found is not None
    return identity.token_service.mint(found, PUBLIC_URL + path, ("tools:call", "agents:message"))


def message(text: str, **more: object) -> dict[str, Any]:
    """Return the params of a 1.0 message."""
    return {"message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": text}], **more}}


def old_message(text: str, **more: object) -> dict[str, Any]:
    """Return the params of a 0.3 message."""
    parts = [{"kind": "text", "text": text}]
    return {"message": {"kind": "message", "messageId": "m-1", "role": "user", "parts": parts, **more}}


async def rpc(
    client: httpx2.AsyncClient,
    method: str,
    params: Mapping[str, object] | None = None,
    *,
    path: str = "/a2a/worker",
    headers: Mapping[str, str] = V1,
) -> httpx2.Response:
    """Send one JSON-RPC request and return the HTTP response."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    sent = {"content-type": "application/json", **headers}
    return await client.post(path, content=orjson.dumps(body), headers=sent)


async def task_of(client: httpx2.AsyncClient, text: str = "do it", **more: object) -> dict[str, Any]:
    """Have a task done and return it."""
    response = await rpc(client, "SendMessage", message(text), **more)  # pyright: ignore[reportArgumentType]
    task: dict[str, Any] = response.json()["result"]["task"]
    return task


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    """Return the data of every event of a whole stream."""
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data:")]
    return [orjson.loads(line) for line in lines]
