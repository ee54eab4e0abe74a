"""What may be found here is what the caller may use, told in the documents of three specifications."""

import json
from pathlib import Path

import httpx2
import pytest

from support.agent_scenes import agents_behind, all_there, caller
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL
from support.mcp_servers import server_command

CATALOG, LINKSET = "/.well-known/ai-catalog.json", "/.well-known/api-catalog"
POLICY = """\
@id("acme") permit (principal in Tenant::"acme", action in Action::"use", resource) unless { resource.risk >= 8 };
@id("drafts") permit (principal in Tenant::"globex", action, resource == Skill::"worker__draft");
"""


def entries(worker: AgentServer) -> list[str]:
    command = json.dumps(list(server_command()))
    return [
        worker.entry("worker", ", skills: {delete: {risk: 9}}, tags: [writing]"),
        worker.entry("shown", ", visibility: public, risk: 9"),
        f"  sdk: {{command: {command}, tools: {{'*': {{risk: 1}}}}}}\n",
    ]


async def names(client: httpx2.AsyncClient, path: str = "/registry/agents") -> set[str]:
    found = (await client.get(path)).json()
    return {one["identifier"].rpartition("gateway.test:")[2] for one in found.get("items", found.get("entries"))}


@pytest.mark.requirement("a2a.registry-rights")
async def test_each_caller_finds_what_it_may_use_and_nothing_else(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker), policy=POLICY) as running:
        await all_there(running)
        async with caller(running, "planner", "/registry") as ana:
            hers = await names(ana)
            assert {"agent:worker", "server:mcp", "server:servers.sdk"} <= hers
            assert not any("shown" in name for name in hers if name != "agent:shown.draft")
            found = (await ana.post("/registry/search", json={"query": {"text": "draft something"}})).json()
            best = found["results"][0]
            assert (best["displayName"], best["capabilities"], best["tags"]) == ("Worker", ["draft"], ["writing"])
            assert best["url"] == f"{PUBLIC_URL}/a2a/worker/.well-known/agent-card.json"
            assert 1 <= best["score"] <= 100
            assert (await ana.get(CATALOG)).headers["content-type"] == "application/ai-catalog+json"
            assert hers | {"registry:gateway"} == await names(ana, CATALOG)
            links = (await ana.get(LINKSET)).json()["linkset"]
            assert links[0]["anchor"] == PUBLIC_URL + LINKSET
        async with caller(running, "spy", "/registry") as eve:
            assert await names(eve) == {"agent:worker.draft"}
            (only,) = (await eve.get("/registry/agents")).json()["items"]
            assert only["url"] == f"{PUBLIC_URL}/a2a/worker/skills/draft/.well-known/agent-card.json"
            assert str(worker.port) not in (await eve.get(CATALOG)).text


@pytest.mark.requirement("a2a.registry-rights")
async def test_a_stranger_finds_what_is_public(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker), policy=POLICY) as running, running.client() as nobody:
        assert await names(nobody, CATALOG) == {"agent:shown", "registry:gateway"}
        refused = await nobody.get("/registry/agents")
        assert (refused.status_code, refused.json()["errorCode"]) == (401, "UNAUTHENTICATED")
        assert "resource_metadata=" in refused.headers["www-authenticate"]


async def test_pages_are_ones_own(tmp_path: Path, worker: AgentServer) -> None:
    async with (
        agents_behind(tmp_path, entries(worker), policy=POLICY) as running,
        caller(running, "planner", "/registry") as ana,
        caller(running, "twin", "/registry") as ben,
    ):
        await all_there(running)
        first = (await ana.get("/registry/agents?pageSize=1")).json()
        assert (len(first["items"]), first["total"] > 1) == (1, True)
        second = (await ana.get(f"/registry/agents?pageSize=1&pageToken={first['pageToken']}")).json()
        assert second["items"] != first["items"]
        assert (await ben.get(f"/registry/agents?pageToken={first['pageToken']}")).status_code == 400
        for method, path in (("GET", "/registry/search"), ("POST", "/registry/agents"), ("PUT", CATALOG)):
            assert (await ana.request(method, path)).status_code == 405
        assert (await ana.post("/registry/search", content=b"{")).status_code == 400
        facets = {"query": {"text": ""}, "resultType": {"facets": [{"field": "type"}]}}
        assert (await ana.post("/registry/explore", json=facets)).status_code == 200
