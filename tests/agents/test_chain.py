"""Agents call agents: one chain that the gateway signed, no loops, one purse, one audit trail."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_gateway.admin.models import ExplainAsked
from agent_gateway.admin.views import explained
from support.agent_scenes import agents_behind, all_there, caller, message, rpc
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.gateways import rpc as mcp
from support.mcp_servers import server_command
from support.scenes import FILES, PLANNER_SECRET, check_books, of_kind, world

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
BOSS = "  boss: {tenant: acme, owner: bo, credentials: [{kind: client_secret, secret: 'file:planner'}]}\n"
PURSE = "budgets:\n  - {name: purse, scope: root, match: acme/boss, unit: micros, limit: 30, window: day}\n"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def entries(worker: AgentServer) -> list[str]:
    """One server stands for two agents: whom it acts as is the configuration's to say."""
    ours = ", auth: {kind: delegated, audience: 'https://%s.example'}, acts_as: %s, price_micros: 10"
    command = json.dumps(list(server_command()))
    return [
        worker.entry("planner", ours % ("planner", "planner")),
        worker.entry("worker", ours % ("worker", "twin")),
        f"  sdk: {{command: {command}, tools: {{'*': {{risk: 1, price_micros: 10}}}}}}\n",
    ]


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def arrived(server: AgentServer) -> str:
    """Return the token with which the last call came to the agent."""
    return str(server.seen()[-1]["headers"]["authorization"]).removeprefix("Bearer ")


async def exchange(running: TestGateway, client_id: str, token: str, path: str) -> httpx2.Response:
    secret = PLANNER_SECRET if client_id == "planner" else PLANNER_SECRET[::-1]
    form = {
        "grant_type": GRANT, "subject_token": token, "subject_token_type": ACCESS_TOKEN,
        "resource": PUBLIC_URL + path, "client_id": client_id, "client_secret": secret,
    }  # fmt: skip
    async with running.client() as client:
        return await client.post("/oauth/token", data=form)


@pytest.mark.requirement("a2a.chain", "a2a.one-purse")
async def test_user_planner_worker_tool_is_one_chain_and_one_purse(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker), PURSE, people=BOSS) as running:
        await all_there(running)
        async with caller(running, "boss", "/a2a/planner") as boss:
            first = await rpc(
                boss, "SendMessage", message("say a", metadata={"act": {"sub": "god"}}), path="/a2a/planner"
            )
            assert first.json()["result"]["message"]["parts"] == [{"text": "a"}]
        at_planner = arrived(worker)
        assert claims_of(at_planner)["sub"] == "boss"
        assert (claims_of(at_planner)["aud"], "act" in claims_of(at_planner)) == ("https://planner.example", False)
        onward = (await exchange(running, "planner", at_planner, "/a2a/worker")).json()["access_token"]
        async with running.client(onward) as planner:
            second = await rpc(planner, "SendMessage", message("say b"))
            assert second.status_code == 200, second.text
        at_worker = arrived(worker)
        assert claims_of(at_worker)["act"]["sub"] == "planner"
        assert claims_of(at_worker)["txn"] == claims_of(at_planner)["txn"]
        tool = (await exchange(running, "twin", at_worker, "/mcp")).json()["access_token"]
        async with running.client(tool) as twin:
            third = await mcp(twin, "tools/call", {"name": "sdk__echo", "arguments": {"text": "c"}})
            assert third.json()["result"]["content"][0]["text"] == "c", third.text
            fourth = await mcp(twin, "tools/call", {"name": "sdk__echo", "arguments": {"text": "d"}})
            assert fourth.json()["error"]["data"]["agent-gateway/refusal"]["code"] == "over_budget", fourth.text
        records = await running.settled()
        chains = [[hop[1] for hop in one["chain"]] for one in of_kind(records, "decision")]
        assert chains == [[], ["boss"], ["boss", "planner"], ["boss", "planner"]]
        assert [one["principal"]["id"] for one in of_kind(records, "decision")] == ["boss", "planner", "twin", "twin"]
        purses = {charge[0] for one in of_kind(records, "decision") for charge in one["charges"]}
        assert purses == {f"purse/acme/{claims_of(at_planner)['txn']}"}
        check_books(records)


@pytest.mark.requirement("a2a.loops")
async def test_a_chain_does_not_come_back_to_who_is_in_it(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker)) as running:
        async with caller(running, "twin", "/a2a/planner") as twin:
            await rpc(twin, "SendMessage", message("say a"), path="/a2a/planner")
        onward = (await exchange(running, "planner", arrived(worker), "/a2a/worker")).json()["access_token"]
        before = len(worker.seen())
        async with running.client(onward) as planner:
            answer = await rpc(planner, "SendMessage", message("say b"))
        assert (answer.status_code, answer.json()["error"]["data"][0]["reason"]) == (403, "DELEGATION_LOOP")
        async with caller(running, "planner", "/a2a/planner") as itself:
            own = await rpc(itself, "SendMessage", message("say b"), path="/a2a/planner")
        assert own.json()["error"]["data"][0]["reason"] == "DELEGATION_LOOP"
        assert len(worker.seen()) == before
        assert {one["code"] for one in of_kind(await running.settled(), "outcome")} == {"", "delegation_loop"}


@pytest.mark.requirement("a2a.loops")
async def test_a_chain_is_as_long_as_it_may_be(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker), "token_service: {max_chain: 2}\n") as running:
        async with caller(running, "spy", "/a2a/planner") as spy:
            assert (await rpc(spy, "SendMessage", message("say a"), path="/a2a/planner")).status_code == 200
        async with caller(running, "twin", "/a2a/planner") as twin:
            await rpc(twin, "SendMessage", message("say a"), path="/a2a/planner")
        onward = (await exchange(running, "planner", arrived(worker), "/a2a/planner")).json()["access_token"]
        async with running.client(onward) as planner:
            answer = await rpc(planner, "SendMessage", message("say b"), path="/a2a/planner")
        assert answer.json()["error"]["data"][0]["reason"] in ("DELEGATION_LOOP", "DELEGATION_DEPTH")


@pytest.mark.requirement("a2a.audience")
async def test_a_token_for_one_agent_is_refused_for_another(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, entries(worker)) as running:
        async with caller(running, "planner", "/a2a/planner") as wrong:
            answer = await rpc(wrong, "SendMessage", message("say a"), path="/a2a/worker")
        assert answer.status_code == 401
        assert "resource_metadata=" in answer.headers["www-authenticate"]
        async with caller(running, "twin", "/a2a/planner") as twin:
            await rpc(twin, "SendMessage", message("say a"), path="/a2a/planner")
        assert (await exchange(running, "twin", arrived(worker), "/a2a/worker")).json()["error"] == "invalid_grant"


@pytest.mark.requirement("invariant.token-stays-here")
async def test_no_agent_sees_the_callers_token_or_headers(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        secret = {"cookie": "session=s3cret", "x-forwarded-for": "10.0.0.1", "x-agw-owner": "root"}
        await rpc(ana, "SendMessage", message("say a"), headers={"a2a-version": "1.0", **secret})
        sent = json.dumps(worker.seen()[-1])
        token = ana.headers["authorization"].removeprefix("Bearer ")
        assert token not in sent
        assert not any(value in sent for value in secret.values())
        assert "authorization" not in worker.seen()[-1]["headers"]


NARROW = """\
@id("all-message") permit (principal in Tenant::"acme", action == Action::"message", resource);
@id("planner-calls") permit (principal == Agent::"planner", action == Action::"call", resource);
@id("boss-echoes") permit (principal == Agent::"boss", action == Action::"call", resource == Tool::"sdk__echo");
"""


@pytest.mark.requirement("policy.chains-narrow")
@pytest.mark.parametrize("chains", ["actor", "everyone"])
async def test_nobody_does_for_others_what_they_may_not_do_themselves(
    tmp_path: Path, worker: AgentServer, chains: str
) -> None:
    more = f"policies: {{files: [main.cedar], chains: {chains}}}\n"
    config = world(entries(worker), more).replace("policies: {files: [main.cedar]}\n", "", 1)
    config = config.replace("agents:\n", f"agents:\n{BOSS}", 1)
    async with gateway(tmp_path, config, **{**FILES, "main__cedar": NARROW}) as running:
        await all_there(running)
        async with caller(running, "boss", "/a2a/planner") as boss:
            assert (await rpc(boss, "SendMessage", message("say a"), path="/a2a/planner")).status_code == 200
        onward = (await exchange(running, "planner", arrived(worker), "/mcp")).json()["access_token"]
        async with running.client(onward) as planner, running.client(running.token("planner")) as itself:
            for client, is_narrow in ((planner, chains == "everyone"), (itself, False)):
                listed = (await mcp(client, "tools/list")).json()["result"]["tools"]
                assert ([one["name"] for one in listed] == ["sdk__echo"]) is is_narrow
                echo = await mcp(client, "tools/call", {"name": "sdk__echo", "arguments": {"text": "c"}})
                assert echo.json()["result"]["content"][0]["text"] == "c", echo.text
                nap = await mcp(client, "tools/call", {"name": "sdk__nap", "arguments": {"text": "n", "seconds": 0}})
                assert ("error" in nap.json()) is is_narrow, nap.text
        asked = ExplainAsked(agent="planner", capability="sdk__nap", acting_for=["boss"])
        told = explained(running.worker.gateway.snapshot, asked, 0.0)
        assert told.denied_to == (["boss"] if chains == "everyone" else [])
        check_books(await running.settled())
