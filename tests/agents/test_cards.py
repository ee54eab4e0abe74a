"""Cards lead nowhere but to the gateway, whatever their shape, and show what the caller may use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent_gateway.identity.api_keys import new_api_key
from agent_gateway.stores.pin_store import PinStore
from support.agent_scenes import V1, agents_behind, caller, message, rpc
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL
from support.raw_agent import card, http, raw_agent, saying

CARD = "/a2a/worker/.well-known/agent-card.json"
SKILLS: list[dict[str, Any]] = [{"id": "draft", "name": "Draft", "description": "d", "tags": []}]


def new_only(url: str) -> bytes:
    return card(url, documentationUrl=f"{url}/docs", iconUrl="javascript:alert(1)", skills=SKILLS)


def old_only(url: str) -> bytes:
    plain: dict[str, Any] = {
        "name": "Raw", "description": f"at {url}", "version": "1", "protocolVersion": "0.3.0", "url": url,
        "preferredTransport": "JSONRPC", "additionalInterfaces": [{"url": url + "/rest", "transport": "HTTP+JSON"}],
        "capabilities": {}, "defaultInputModes": [], "defaultOutputModes": [], "skills": SKILLS,
        "security": [{"k": []}], "securitySchemes": {"k": {"type": "oauth2", "flows": {"x": {"tokenUrl": url}}}},
    }  # fmt: skip
    return orjson.dumps(plain)


def dual(url: str) -> bytes:
    grpc = {"url": url.partition("//")[2].split("/")[0], "protocolBinding": "GRPC", "protocolVersion": "1.0"}
    both = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    old = orjson.loads(old_only(url))
    more = {
        "supportedInterfaces": [grpc, both],
        "provider": {"organization": "o", "url": url},
        "unknown": {"at": [url]},
    }
    return orjson.dumps({**old, **more, "signatures": [{"protected": "e30", "signature": "AA"}]})


@pytest.mark.requirement("a2a.card-leads-here")
@pytest.mark.parametrize("shape", [new_only, old_only, dual])
@pytest.mark.parametrize("serve", ["['1.0', '0.3']", "['1.0']", "['0.3']"])
async def test_no_byte_names_the_agents_host(tmp_path: Path, shape: Callable[[str], bytes], serve: str) -> None:
    extended = http(b'{"jsonrpc":"2.0","id":"gateway","error":{"code":-32603,"message":"boom"}}')
    async with raw_agent(saying(extended), shape) as agent:
        entry = agent.entry("worker", f", serve: {serve}, push: relay")
        async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
            served = [
                await ana.get(CARD),
                await ana.get("/a2a/worker/.well-known/agent.json"),
                await rpc(ana, "GetExtendedAgentCard"),
                await rpc(ana, "agent/getAuthenticatedExtendedCard", headers={}),
                await rpc(ana, "SendMessage", message("x")),
                await rpc(ana, "Nothing"),
                await ana.get("/a2a/worker/nothing", headers=V1),
            ]
            for response in served:
                assert str(agent.port) not in response.text, response.text
                assert "127.0.0.1" not in response.text, response.text
            found = served[0].json()
            urls = [one["url"] for one in found.get("supportedInterfaces", [])] + [found.get("url", PUBLIC_URL)]
            assert all(url.startswith(PUBLIC_URL) for url in urls)
            assert "javascript" not in served[0].text
            assert "signatures" not in found or found["signatures"] != [{"protected": "e30", "signature": "AA"}]


@pytest.mark.requirement("a2a.card-leads-here")
async def test_an_extended_card_is_rewritten_and_narrowed(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", skills: {delete: {hide: true}}")
    async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
        for answer in (
            (await rpc(ana, "GetExtendedAgentCard")).json()["result"],
            (await ana.get("/a2a/worker/extendedAgentCard", headers=V1)).json(),
            (await rpc(ana, "agent/getAuthenticatedExtendedCard", headers={})).json()["result"],
            (await ana.get(CARD)).json(),
        ):
            assert [skill["id"] for skill in answer["skills"]] == ["draft"]
            assert str(worker.port) not in orjson.dumps(answer).decode()


async def test_a_card_is_cached_by_its_tag_and_never_shared_between_callers(
    tmp_path: Path, worker: AgentServer
) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        first = await ana.get(CARD)
        again = await ana.get(CARD, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["cache-control"].startswith("private")
        async with running.client() as nobody:
            refused = await nobody.get(CARD)
        assert refused.status_code == 401
        assert "resource_metadata=" in refused.headers["www-authenticate"]
        async with running.client() as nobody:
            metadata = await nobody.get("/.well-known/oauth-protected-resource/a2a/worker")
        assert metadata.json()["resource"] == f"{PUBLIC_URL}/a2a/worker"
        assert metadata.json()["authorization_servers"] == [PUBLIC_URL]


async def test_a_public_card_is_everybodys(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", visibility: public")
    async with agents_behind(tmp_path, [entry]) as running, running.client() as nobody:
        served = await nobody.get(CARD)
        assert (served.status_code, served.headers["cache-control"]) == (200, "public, max-age=300")
        assert (await rpc(nobody, "SendMessage", message("x"))).status_code == 401


async def test_a_card_that_drifts_is_told_and_the_approved_one_goes_on(tmp_path: Path) -> None:
    async with (
        raw_agent(saying(http(b'{"jsonrpc":"2.0","id":1,"result":{}}')), new_only) as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner") as ana,
    ):
        before = (await ana.get(CARD)).headers["etag"]
        agent.card = card(f"{agent.url}/elsewhere", skills=[*SKILLS, {**SKILLS[0], "id": "sneak"}])
        await running.worker.keeper.refresh(running.worker.gateway)
        served = running.worker.gateway.snapshot.agents["worker"]
        assert "skills" in served.drift
        assert any("worker" in finding and "card" in finding for finding in running.worker.gateway.snapshot.findings)
        assert (await ana.get(CARD)).headers["etag"] == before
        await rpc(ana, "SendMessage", message("x"))
        assert agent.asked[-1].line.startswith(b"POST /rpc ")


@pytest.mark.requirement("a2a.card-approval")
async def test_a_restart_approves_no_card(tmp_path: Path) -> None:
    sneaky: dict[str, Any] = {"skills": [*SKILLS, {**SKILLS[0], "id": "sneak"}]}
    async with raw_agent(saying(http(b"{}")), new_only) as agent:
        async with agents_behind(tmp_path, [agent.entry("worker")]) as running, caller(running, "planner") as ana:
            before = (await ana.get(CARD)).headers["etag"]
        agent.card = card(agent.url, **sneaky)
        async with agents_behind(tmp_path, [agent.entry("worker")]) as running, caller(running, "planner") as ana:
            assert (await ana.get(CARD)).headers["etag"] == before
            gateway, store = running.worker.gateway, PinStore(tmp_path / "data" / "pins.db")
            assert "skills" in gateway.snapshot.agents["worker"].drift
            (waiting,) = store.waiting()
            assert (waiting.place.upstream, waiting.place.kind) == ("worker", "card")
            store.approve(waiting.place, waiting.pin, "ops", 1.0)
            await running.worker.keeper.refresh(gateway)
            assert (await ana.get(CARD)).headers["etag"] != before
            assert not gateway.snapshot.agents["worker"].drift
            assert store.waiting() == []


async def test_an_agent_whose_card_never_came_is_not_there_and_comes_when_it_does(tmp_path: Path) -> None:
    async with (
        raw_agent(saying(http(b"{}")), lambda _: b"no card") as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner") as ana,
    ):
        assert (await ana.get(CARD)).status_code == 404
        assert "worker" in running.worker.gateway.snapshot.missing
        agent.card = new_only(agent.url)
        await running.worker.keeper.refresh(running.worker.gateway)
        assert (await ana.get(CARD)).status_code == 200


# --- who may use what ------------------------------------------------------------------------

NARROW = """\
@id("drafts") permit (principal, action == Action::"message", resource == Skill::"worker__draft");
@id("reads") permit (principal == Agent::"twin", action == Action::"message", resource == RemoteAgent::"worker")
when { context.operation == "GetTask" };
"""


@pytest.mark.requirement("a2a.hidden-skill")
async def test_what_is_hidden_answers_like_what_never_was(tmp_path: Path, worker: AgentServer) -> None:
    paths = ("/a2a/worker", "/a2a/nobody", "/a2a/worker/skills/delete", "/a2a/worker/skills/nothing")
    key, stored = new_api_key()
    credential = f"{{kind: api_key, id: {stored.id}, sha256: {stored.sha256}}}"
    people = f"  keyed: {{tenant: acme, owner: k, credentials: [{credential}]}}\n"
    async with agents_behind(tmp_path, [worker.entry("worker")], policy=NARROW, people=people) as running:
        answers: list[tuple[int, bytes]] = []
        for path in paths:
            async with running.client() as client:
                said = await rpc(client, "SendMessage", message("x"), path=path, headers={**V1, "x-api-key": key})
                answers.append((said.status_code, said.content))
        assert len(set(answers)) == 1, answers
        assert answers[0][0] == 404


@pytest.mark.requirement("a2a.skill-facade", "a2a.hidden-skill")
async def test_a_skill_is_used_at_its_facade_alone(tmp_path: Path, worker: AgentServer) -> None:
    draft = "/a2a/worker/skills/draft"
    async with agents_behind(tmp_path, [worker.entry("worker")], policy=NARROW) as running:
        async with caller(running, "planner", draft) as ana:
            done = await rpc(ana, "SendMessage", message("do it"), path=draft)
            task = done.json()["result"]["task"]
            assert (await rpc(ana, "GetTask", {"id": task["id"]}, path=draft)).json()["result"]["id"] == task["id"]
            found = (await ana.get(f"{draft}/.well-known/agent-card.json")).json()
            assert ([one["id"] for one in found["skills"]], found["name"]) == (["draft"], "Worker: Draft")
            assert found["supportedInterfaces"][0]["url"] == f"{PUBLIC_URL}{draft}"
            other = {"metadata": {"https://agent-gateway.invalid/a2a/skill/v1": {"skillId": "delete"}}}
            assert (await rpc(ana, "SendMessage", message("x", **other), path=draft)).json()["error"]["code"] == -32602
        async with caller(running, "planner") as ana:
            assert (await rpc(ana, "SendMessage", message("x"))).status_code == 404
        async with caller(running, "twin") as ben:
            assert (await rpc(ben, "SendMessage", message("x"))).status_code == 403
            assert (await rpc(ben, "GetTask", {"id": task["id"]})).json()["error"]["code"] == -32001


@pytest.mark.requirement("a2a.skill-facade")
async def test_a_message_that_names_its_skill_is_decided_on_that_skill(tmp_path: Path, worker: AgentServer) -> None:
    policy = """\
@id("all") permit (principal, action == Action::"message", resource);
@id("no-delete") forbid (principal, action == Action::"message", resource == Skill::"worker__delete");
"""
    entry = worker.entry("worker")
    async with agents_behind(tmp_path, [entry], policy=policy) as running, caller(running, "planner") as ana:
        for skill, status in (("draft", 200), ("delete", 404), ("nothing", 404)):
            named = {"metadata": {"https://agent-gateway.invalid/a2a/skill/v1": {"skillId": skill}}}
            assert (await rpc(ana, "SendMessage", message("say x", **named))).status_code == status
        listed = (await ana.get(CARD)).json()
        assert [skill["id"] for skill in listed["skills"]] == ["draft"]
        (ours,) = [one for one in listed["capabilities"]["extensions"] if one["uri"].endswith("/a2a/skill/v1")]
        assert ours["params"] == {"skills": ["draft"]}
