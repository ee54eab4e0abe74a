"""Whatever the binding, the version and the spelling of the path: one operation, one decision, one record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from support.agent_scenes import V1, agents_behind, caller, message, old_message, rpc, task_of
from support.agent_servers import AgentServer
from support.scenes import check_books, of_kind

JSON = {"content-type": "application/json"}
OLD_REST = {"message": {"messageId": "m-1", "role": "ROLE_USER", "content": [{"text": "do it"}]}}

SEND = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("do it")}

WAYS: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Any]]] = {
    "json-rpc 1.0": ("/a2a/worker", V1, SEND),
    "json-rpc 1.0, slash": ("/a2a/worker/", V1, SEND),
    "http+json 1.0": ("/a2a/worker/message:send", V1, message("do it")),
    "http+json 1.0, slash": ("/a2a/worker/message:send/", V1, message("do it")),
    "json-rpc 0.3": (
        "/a2a/worker", {}, {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": old_message("do it")}
    ),
    "json-rpc 0.3, said": (
        "/a2a/worker/", {"a2a-version": "0.3"},
        {"jsonrpc": "2.0", "id": "x", "method": "message/send", "params": old_message("do it")},
    ),
    "http+json 0.3": ("/a2a/worker/v1/message:send", {}, OLD_REST),
}  # fmt: skip


async def send(client: httpx2.AsyncClient, way: str) -> httpx2.Response:
    path, headers, body = WAYS[way]
    return await client.post(path, content=orjson.dumps(body), headers={**JSON, **headers})


@pytest.mark.requirement("a2a.one-decision")
@pytest.mark.parametrize("agent", ["worker", "new_worker", "old_worker"])
async def test_every_way_to_send_is_one_decision_on_the_same_call(
    tmp_path: Path, agent: str, request: pytest.FixtureRequest
) -> None:
    server: AgentServer = request.getfixturevalue(agent)
    async with agents_behind(tmp_path, [server.entry("worker")]) as running, caller(running, "planner") as ana:
        for way in WAYS:
            response = await send(ana, way)
            assert response.status_code == 200, (way, response.text)
            assert "COMPLETED" in response.text.upper(), (way, response.text)
            assert "error" not in response.json(), (way, response.text)
        records = await running.settled()
        said = [
            (one["action"], one["effect"], one["capability"]["kind"], one["capability"]["name"], one["route"])
            for one in of_kind(records, "decision")
        ]
        assert said == [("message", "permit", "agent", "worker", "a2a/worker")] * len(WAYS)
        check_books(records)


@pytest.mark.requirement("a2a.one-decision")
async def test_every_way_is_answered_in_its_own_words(tmp_path: Path, new_worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [new_worker.entry("worker")]) as running, caller(running, "planner") as ana:
        answers = {way: (await send(ana, way)) for way in WAYS}
        assert answers["json-rpc 1.0"].json()["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        assert answers["json-rpc 0.3"].json()["result"]["kind"] == "task"
        assert answers["json-rpc 0.3"].json()["result"]["status"]["state"] == "completed"
        assert answers["json-rpc 0.3, said"].json()["id"] == "x"
        assert answers["http+json 1.0"].json()["task"]["artifacts"][0]["parts"] == [{"text": "it"}]
        assert answers["http+json 1.0"].headers["content-type"] == "application/a2a+json"


async def test_every_way_to_ask_after_a_task_is_the_same_operation(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        task = await task_of(ana)
        ways = [
            await rpc(ana, "GetTask", {"id": task["id"]}),
            await rpc(ana, "tasks/get", {"id": task["id"]}, headers={}),
            await ana.get(f"/a2a/worker/tasks/{task['id']}", headers=V1),
            await ana.get(f"/a2a/worker/tasks/{task['id']}/?historyLength=1", headers=V1),
            await ana.get(f"/a2a/worker/tasks/{task['id']}?A2A-Version=1.0"),
            await ana.get(f"/a2a/worker/v1/tasks/{task['id']}"),
        ]
        assert [way.status_code for way in ways] == [200] * len(ways)
        assert all(task["id"] in way.text for way in ways)
        check_books(await running.settled())


VERSIONS = [
    ("1.0", "SendMessage", None),
    ("1.0.7", "SendMessage", None),
    ("0.3", "message/send", None),
    ("0.3.0", "message/send", None),
    ("", "message/send", None),
    ("1.1", "SendMessage", -32009),
    ("2.0", "SendMessage", -32009),
    ("one", "SendMessage", -32009),
    ("1.0", "message/send", -32009),
    ("", "SendMessage", -32009),
    ("1.0", "message/nothing", -32601),
]


@pytest.mark.requirement("a2a.version-matrix")
@pytest.mark.parametrize("agent", ["new_worker", "old_worker"])
async def test_a_version_is_what_the_request_says(tmp_path: Path, request: pytest.FixtureRequest, agent: str) -> None:
    server: AgentServer = request.getfixturevalue(agent)
    async with agents_behind(tmp_path, [server.entry("worker")]) as running, caller(running, "planner") as ana:
        for version, method, code in VERSIONS:
            params = message("say hi") if "/" not in method else old_message("say hi")
            for headers, path in (
                ({"a2a-version": version}, "/a2a/worker"),
                ({}, f"/a2a/worker?A2A-Version={version}"),
            ):
                answer = (await rpc(ana, method, params, headers=headers, path=path)).json()
                assert answer.get("error", {}).get("code") == code, (version, method, answer)


async def test_an_agent_is_served_in_the_versions_that_its_operator_says(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", ", serve: ['1.0']")
    async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner") as ana:
        assert (await send(ana, "json-rpc 0.3")).json()["error"]["code"] == -32009
        assert (await send(ana, "json-rpc 1.0")).status_code == 200
        card = (await ana.get("/a2a/worker/.well-known/agent-card.json")).json()
        assert "url" not in card
        assert {one["protocolVersion"] for one in card["supportedInterfaces"]} == {"1.0"}


@pytest.mark.parametrize("wrong", [{"a2a-version": "0.3"}, {}])
async def test_header_and_query_that_disagree_are_refused(
    tmp_path: Path, worker: AgentServer, wrong: Mapping[str, str]
) -> None:
    path = "/a2a/worker?A2A-Version=1.0" if wrong else "/a2a/worker?A2A-Version=1.0&A2A-Version=0.3"
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        answer = (await rpc(ana, "SendMessage", message("say hi"), path=path, headers=wrong)).json()
        assert answer["error"]["code"] == -32600
