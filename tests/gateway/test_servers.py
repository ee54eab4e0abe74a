"""The registry's API through the whole gateway."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel
import httpx2
import pytest

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.runtime.registry_import import take_over
from mcp_registry.servers import OFFICIAL, OWN
from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.raw_http import Peer, raw_server
from support.raw_upstream import http, raw_upstream
from support.scenes import FILES, world

BASE = "/registry/v0.1"
WEATHER: dict[str, Any] = {
    "name": "io.acme/weather",
    "description": "Weather.",
    "version": "1.0.0",
    "remotes": [
        {"type": "streamable-http", "url": "https://w.example/mcp"},
        {"type": "streamable-http", "url": f"{PUBLIC_URL}/servers/raw/mcp"},
    ],
}
LONG_CURSOR = base64.urlsafe_b64encode(json.dumps(["a", f"1.0.0-{'9' * 5000}"]).encode()).decode()


@asynccontextmanager
async def running(folder: Path, more: str = "") -> AsyncGenerator[TestGateway]:
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": lambda _: anyio.lowlevel.checkpoint()}) as up,
            gateway(folder, world([up.entry("raw", ", title: Raw, owner: ana")], more), **FILES) as gate,
        ):
            yield gate


def caller(gate: TestGateway, agent: str) -> httpx2.AsyncClient:
    return gate.client(gate.token(agent, "/registry"))


async def names(client: httpx2.AsyncClient, query: str = "") -> list[str]:
    found = (await client.get(f"{BASE}/servers{query}")).json()
    assert found["metadata"]["count"] == len(found["servers"])
    return [one["server"]["name"] for one in found["servers"]]


@pytest.mark.requirement("registry.api")
async def test_each_caller_finds_the_endpoints_it_may_use(tmp_path: Path) -> None:
    async with running(tmp_path) as gate, caller(gate, "planner") as ana, caller(gate, "spy") as eve:
        assert await names(ana) == ["test.gateway/raw", "test.gateway/toolset.mcp"]
        assert await names(eve) == []
        found = (await ana.get(f"{BASE}/servers/{quote('test.gateway/raw', safe='')}/versions/latest")).json()
        assert found["server"]["remotes"] == [{"type": "streamable-http", "url": f"{PUBLIC_URL}/servers/raw/mcp"}]
        assert (found["_meta"][OWN]["owner"], found["_meta"][OFFICIAL]["isLatest"]) == ("ana", True)
        gone = await eve.get(f"{BASE}/servers/{quote('test.gateway/raw', safe='')}/versions")
        assert (gone.status_code, gone.json()) == (404, {"error": "Server not found"})
        async with gate.client() as nobody:
            refused = await nobody.get(f"{BASE}/servers")
            assert refused.status_code == 401
            assert "resource_metadata" in refused.headers["www-authenticate"]


@pytest.mark.requirement("registry.owners")
async def test_owners_publish_what_never_changes_and_operators_let_it_be_seen(tmp_path: Path) -> None:
    async with running(tmp_path) as gate, caller(gate, "planner") as ana, caller(gate, "twin") as ben:
        made = await ana.post(f"{BASE}/publish", json=WEATHER)
        assert made.status_code == 200, made.text
        assert made.json()["server"]["remotes"] == [WEATHER["remotes"][1]]
        assert made.json()["_meta"][OWN] == {"owner": "acme/planner", "lifecycle": "active", "approval": "pending"}
        assert (await ana.post(f"{BASE}/publish", json=WEATHER)).status_code == 409
        assert (await ben.post(f"{BASE}/publish", json={**WEATHER, "version": "2.0.0"})).status_code == 403
        assert "io.acme/weather" in await names(ana)
        assert "io.acme/weather" not in await names(ben)
        gate.worker.gateway.servers.approve("io.acme/weather", "1.0.0", 1.0)
        assert "io.acme/weather" in await names(ben)
        async with caller(gate, "spy") as eve:
            assert await names(eve) == []  # another tenant's
        path = f"{BASE}/servers/{quote('io.acme/weather', safe='')}"
        said = {"status": "deprecated", "statusMessage": "use the other"}
        assert (await ben.patch(f"{path}/versions/1.0.0/status", json=said)).status_code == 404
        changed = (await ana.patch(f"{path}/versions/1.0.0/status", json=said)).json()
        assert changed["_meta"][OFFICIAL]["statusMessage"] == "use the other"
        assert (await ana.patch(f"{path}/status", json={"status": "deleted"})).status_code == 200
        assert "io.acme/weather" not in await names(ana)
        assert "io.acme/weather" in await names(ana, "?include_deleted=true")


@pytest.mark.requirement("registry.owners")
async def test_what_one_publishes_does_not_tell_which_endpoints_are_hidden(tmp_path: Path) -> None:
    hidden, unknown = f"{PUBLIC_URL}/servers/raw/mcp", f"{PUBLIC_URL}/servers/nothing/mcp"
    guesses = {**WEATHER, "remotes": [{"type": "streamable-http", "url": url} for url in (hidden, unknown)]}
    async with running(tmp_path) as gate, caller(gate, "spy") as eve:
        made = await eve.post(f"{BASE}/publish", json=guesses)
        assert made.status_code == 200
        assert "remotes" not in made.json()["server"]


@pytest.mark.requirement("registry.owners")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "publish", {**WEATHER, "version": "latest"}, 400),
        ("POST", "publish", {**WEATHER, "name": "test.gateway/raw"}, 400),
        ("POST", "publish", [WEATHER], 400),
        ("PATCH", "servers/a%2Fb/status", {"status": "gone"}, 400),
        ("PATCH", "servers/a%2Fb/status", {"status": "active"}, 404),
        ("PUT", "servers/a%2Fb/versions/1.0.0", None, 501),
        ("DELETE", "servers/a%2Fb/versions/1.0.0", None, 501),
        ("GET", "servers?limit=none", None, 400),
        ("GET", "servers?limit=%C2%B2", None, 400),
        ("GET", "servers?cursor=forged", None, 400),
        ("GET", f"servers?cursor={LONG_CURSOR}", None, 400),
        ("GET", "servers/a%FFb/versions", None, 404),
        ("GET", "servers/a%2Fb/versions/latest", None, 404),
        ("GET", "elsewhere", None, 404),
    ],
)
async def test_what_is_wrong_gets_one_clear_answer(
    tmp_path: Path, method: str, path: str, body: object, status: int
) -> None:
    async with running(tmp_path) as gate, caller(gate, "planner") as ana:
        content = None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} if body is not None else {}
        answer = await ana.request(method, f"{BASE}/{path}", content=content, headers=headers)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


@pytest.mark.requirement("registry.api")
async def test_a_public_registry_shows_endpoints_and_nothing_of_tenants(tmp_path: Path) -> None:
    async with running(tmp_path, "registry: {public: true}\n") as gate, gate.client() as nobody:
        async with caller(gate, "planner") as ana:
            await ana.post(f"{BASE}/publish", json=WEATHER)
        gate.worker.gateway.servers.approve("io.acme/weather", "1.0.0", 1.0)
        assert await names(nobody) == ["test.gateway/raw", "test.gateway/toolset.mcp"]
        assert (await nobody.post(f"{BASE}/publish", json=WEATHER)).status_code == 401


@pytest.mark.requirement("registry.import")
async def test_another_registry_is_taken_over_page_by_page_and_waits_for_approval(tmp_path: Path) -> None:
    bad = {"server": {"name": "nothing"}, "_meta": {}}
    pages = [
        {"servers": [shown("io.other/a", "active"), bad, 7], "metadata": {"nextCursor": "x", "count": 3}},
        {"servers": [shown("io.other/b", "deprecated"), shown("io.other/a", "active")], "metadata": {"count": 2}},
    ]

    async def behave(peer: Peer) -> None:
        line, _, _ = await peer.request()
        page = pages[1 if b"cursor=x" in line else 0]
        await peer.say(http(json.dumps(page).encode()))

    async with running(tmp_path) as gate, raw_server(behave) as other, caller(gate, "planner") as ana:
        store = gate.worker.gateway.servers
        taken, left = await take_over(store, other.url("/v0.1"), "", EgressRules(allow_private=True), lambda: 1.0)
        assert [(one.name, one.status, one.approval) for one in taken] == [
            ("io.other/a", "active", "pending"),
            ("io.other/b", "deprecated", "pending"),
        ]
        assert len(left) == 3
        assert not any("io.other" in name for name in await names(ana))
        store.approve("io.other/a", "1.0.0", 1.0)
        assert "io.other/a" in await names(ana)


def shown(name: str, status: str) -> dict[str, Any]:
    document: dict[str, Any] = {**WEATHER, "name": name, "_meta": {"io.modelcontextprotocol.registry/official": {}}}
    return {"server": document, "_meta": {OFFICIAL: {"status": status}}}
