"""Toolsets as agents, seen from outside of a call: their cards, the registry, restarts, workers, loops, bounds."""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from support.agent_scenes import V1, agents_behind, all_there, caller, rpc
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL, gateway
from support.processes import process
from support.raw_upstream import Gate, answer, definition, raw_upstream, saying, text
from support.scenes import FILES, POLICY, check_books, of_kind, world

DESK = "/a2a/desk"
CARD = f"{DESK}/.well-known/agent-card.json"
AGENT = "toolsets:\n  desk: {title: The desk, agent: {description: Odds and ends%s}}\n"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
repeat = saying(lambda call: answer(call, text(call.arguments["text"])))
TOOLS = {"echo": repeat, "secret": repeat}
SHOWN = [definition(name, TEXT) for name in TOOLS]
HIDING = POLICY + '@id("no") forbid (principal, action, resource == Tool::"raw__secret");\n'

# The SDK itself is the judge; apart from us, since it warns of much.
VERIFY = """
import json, sys
from a2a.client.card_resolver import parse_agent_card
from a2a.utils.signing import create_signature_verifier
from jwt import PyJWK
said = json.load(sys.stdin)
keys = {key["kid"]: PyJWK(key) for key in said["keys"]}
create_signature_verifier(lambda kid, jku: keys[kid], ["ES256"])(parse_agent_card(said["card"]))
print("holds")
"""


def calling(tool: str, words: str, message_id: str, **more: object) -> dict[str, Any]:
    data = {"tool": tool, "arguments": {"text": words}}
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"data": data}], **more}}


def named(skills: Any) -> list[str]:
    return [skill["id"] for skill in skills]


@pytest.mark.requirement("a2a.toolset-agents", "a2a.card-signatures")
async def test_its_card_is_the_callers_signed_and_cached(tmp_path: Path) -> None:
    public = ", visibility: public, publish: ['raw__e*']"
    async with (
        raw_upstream(TOOLS, SHOWN) as upstream,
        agents_behind(tmp_path, [upstream.entry()], AGENT % public, HIDING) as running,
        running.client() as anybody,
        caller(running, "planner", DESK) as ana,
    ):
        shown = await anybody.get(CARD, headers=V1)
        card = shown.json()
        assert (card["name"], card["description"], named(card["skills"])) == (
            "The desk",
            "Odds and ends",
            ["raw__echo"],
        )
        assert card["capabilities"]["pushNotifications"] is False
        assert {(one["protocolBinding"], one["url"]) for one in card["supportedInterfaces"]} == {
            ("JSONRPC", PUBLIC_URL + DESK),
            ("HTTP+JSON", PUBLIC_URL + DESK),
        }
        kept = await anybody.get(CARD, headers=V1 | {"if-none-match": shown.headers["etag"]})
        assert (kept.status_code, kept.content) == (304, b"")
        old = (await anybody.get(CARD, headers={"a2a-version": "0.3"})).json()
        assert (old["url"], old["protocolVersion"]) == (PUBLIC_URL + DESK, "0.3.0")
        extended = (await rpc(ana, "GetExtendedAgentCard", path=DESK)).json()["result"]
        assert named(extended["skills"]) == ["raw__echo"]
        [arguments] = [one for one in extended["capabilities"]["extensions"] if "tools" in one["uri"]]
        assert arguments["params"]["inputSchemas"] == {"raw__echo": TEXT}
        rest = await ana.get(f"{DESK}/extendedAgentCard", headers=V1)
        assert named(rest.json()["skills"]) == ["raw__echo"]
        assert str(upstream.server.port) not in shown.text + rest.text
        service = running.worker.gateway.snapshot.identity.token_service
        assert service is not None
        said = orjson.dumps({"card": extended, "keys": service.jwks()["keys"]})
        done = await anyio.run_process([sys.executable, "-W", "ignore", "-c", VERIFY], input=said, check=False)
        assert done.stdout.strip() == b"holds", done.stderr[-400:]


@pytest.mark.requirement("a2a.toolset-agents")
async def test_a_token_is_for_messages_and_for_calls(tmp_path: Path) -> None:
    async with (
        raw_upstream(TOOLS, SHOWN) as upstream,
        agents_behind(tmp_path, [upstream.entry()], AGENT % "", HIDING) as running,
        caller(running, "planner", DESK) as ana,
    ):
        card = (await ana.get(CARD, headers=V1)).json()
        assert card["securityRequirements"] == [{"schemes": {"gateway": {"list": ["agents:message", "tools:call"]}}}]
        identity = running.worker.gateway.snapshot.identity
        planner = identity.agents.get("planner")
        assert identity.token_service is not None
        assert planner is not None
        for scope, lacking in (("agents:message", "tools:call"), ("tools:call", "agents:message")):
            async with running.client(identity.token_service.mint(planner, PUBLIC_URL + DESK, (scope,))) as narrow:
                told = await rpc(narrow, "SendMessage", calling("raw__echo", "x", scope), path=DESK)
            assert (told.status_code, lacking in told.json()["error"]["message"]) == (403, True)
            assert 'scope="agents:message tools:call"' in told.headers["www-authenticate"]
        assert upstream.calls == []


@pytest.mark.requirement("a2a.toolset-agents", "a2a.registry-rights")
async def test_the_registry_shows_it_to_those_who_may_use_it(tmp_path: Path) -> None:
    async with (
        raw_upstream(TOOLS, SHOWN) as upstream,
        agents_behind(tmp_path, [upstream.entry()], AGENT % "", HIDING) as running,
        caller(running, "planner", "/registry") as ana,
        caller(running, "spy", "/registry") as eve,
        running.client() as anybody,
    ):
        found = (await ana.get("/registry/agents")).json()["items"]
        [entry] = [one for one in found if one["url"] == PUBLIC_URL + CARD]
        assert ("raw__echo" in str(entry), "raw__secret" in str(found)) == (True, False)
        assert "a2a/desk" not in (await eve.get("/registry/agents")).text
        assert "a2a/desk" not in (await anybody.get("/.well-known/ai-catalog.json")).text


@pytest.mark.requirement("a2a.toolset-agents", "a2a.task-owner-survives")
async def test_what_a_task_came_to_outlives_a_restart(tmp_path: Path) -> None:
    gate = Gate()
    async with raw_upstream({"echo": repeat, "slow": gate}, [definition(one, TEXT) for one in ("echo", "slow")]) as raw:
        config, files = world([raw.entry()], AGENT % ""), {**FILES, "main__cedar": POLICY}
        async with gateway(tmp_path, config, **files) as running, caller(running, "planner", DESK) as ana:
            first = await rpc(ana, "SendMessage", calling("raw__echo", "kept", "m-1"), path=DESK)
            task = first.json()["result"]["task"]
            params = calling("raw__slow", "x", "m-2") | {"configuration": {"returnImmediately": True}}
            cut = (await rpc(ana, "SendMessage", params, path=DESK)).json()["result"]["task"]
            await gate.reached.wait()
        async with gateway(tmp_path, config, **files) as running, caller(running, "planner", DESK) as ana:
            assert (await rpc(ana, "GetTask", {"id": task["id"]}, path=DESK)).json()["result"] == task
            again = await rpc(ana, "SendMessage", calling("raw__echo", "kept", "m-1"), path=DESK)
            assert again.json()["result"]["task"]["id"] == task["id"]
            ended = (await rpc(ana, "GetTask", {"id": cut["id"]}, path=DESK)).json()["result"]
            assert ended["status"]["state"] in ("TASK_STATE_CANCELED", "TASK_STATE_FAILED")
            listed = await rpc(ana, "ListTasks", {"pageSize": 1, "includeArtifacts": True}, path=DESK)
            page = listed.json()["result"]
            more = await rpc(ana, "ListTasks", {"pageSize": 1, "pageToken": page["nextPageToken"]}, path=DESK)
            assert {one["id"] for one in page["tasks"] + more.json()["result"]["tasks"]} == {task["id"], cut["id"]}
            check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents")
async def test_one_caller_has_so_many_tasks_and_no_more(tmp_path: Path) -> None:
    gate = Gate()
    limits = "limits: {concurrency_per_principal: 2}\n"
    async with (
        raw_upstream({"slow": gate}, [definition("slow", TEXT)]) as upstream,
        agents_behind(tmp_path, [upstream.entry()], AGENT % "" + limits, POLICY) as running,
        caller(running, "planner", DESK) as ana,
        caller(running, "twin", DESK) as ben,
    ):
        quick = {"configuration": {"returnImmediately": True}}
        codes = [
            (await rpc(ana, "SendMessage", calling("raw__slow", "x", f"m-{number}") | quick, path=DESK)).status_code
            for number in range(3)
        ]
        assert codes == [200, 200, 429]
        assert (await rpc(ben, "SendMessage", calling("raw__slow", "x", "b") | quick, path=DESK)).status_code == 200
        big = calling("raw__slow", "x" * 20_000_000, "big")
        assert (await rpc(ben, "SendMessage", big, path=DESK)).status_code == 413
        push = calling("raw__slow", "x", "p") | {
            "configuration": {"taskPushNotificationConfig": {"url": "https://x.example"}}
        }
        assert (await rpc(ana, "SendMessage", push, path=DESK)).json()["error"]["code"] == -32003


@pytest.mark.requirement("a2a.toolset-agents", "a2a.loops")
async def test_a_loop_through_a_toolset_is_a_loop(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", as_tools: true, acts_as: planner")
    async with agents_behind(tmp_path, [entry], AGENT % "") as running:
        await all_there(running)
        async with caller(running, "planner", DESK) as itself, caller(running, "twin", DESK) as ben:
            data = {"tool": "worker__ask", "arguments": {"message": "do it"}}
            sent = {"message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"data": data}]}}
            task = (await rpc(itself, "SendMessage", sent, path=DESK)).json()["result"]["task"]
            assert task["status"]["state"] == "TASK_STATE_REJECTED"
            assert "planner" in str(task["status"]["message"]) or "chain" in str(task["status"]["message"])
            fine = (await rpc(ben, "SendMessage", sent, path=DESK)).json()["result"]["task"]
            assert fine["status"]["state"] == "TASK_STATE_COMPLETED"
        check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents", "a2a.task-owner-survives")
async def test_every_worker_answers_for_a_task_of_another(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(120):
        async with (
            raw_upstream({"slow": gate}, [definition("slow", TEXT)]) as upstream,
            process(tmp_path, world([upstream.entry()], AGENT % ""), workers=2) as running,
        ):
            await running.start()
            token = await running.fetch_token(path=DESK)
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json", **V1}
            wires = [await running.connect() for _ in range(6)]  # the kernel spreads them over both workers

            async def ask(wire: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
                body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
                _, answered = await wires[wire].ask("POST", DESK, body, headers)
                found: dict[str, Any] = json.loads(answered)
                return found

            params = calling("raw__slow", "x", "m-1") | {"configuration": {"returnImmediately": True}}
            task = (await ask(0, "SendMessage", params))["result"]["task"]
            for wire in range(6):
                assert (await ask(wire, "SendMessage", params))["result"]["task"]["id"] == task["id"]
                shown = (await ask(wire, "GetTask", {"id": task["id"]}))["result"]
                assert shown["status"]["state"] == "TASK_STATE_WORKING"
                [listed] = (await ask(wire, "ListTasks", {}))["result"]["tasks"]
                assert listed["status"]["state"] == "TASK_STATE_WORKING"
            gone = (await ask(5, "CancelTask", {"id": task["id"]}))["result"]
            assert gone["status"]["state"] == "TASK_STATE_CANCELED"
            assert [(await ask(wire, "CancelTask", {"id": task["id"]}))["error"]["code"] for wire in range(6)] == [
                -32002
            ] * 6
            assert await running.stop() == 0
            records = running.records()
            check_books(records)
            assert len(of_kind(records, "decision")) == 1
