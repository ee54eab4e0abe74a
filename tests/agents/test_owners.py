"""Tasks and contexts belong to who made them: what is somebody else's is like what never was."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.agent_scenes import V1, agents_behind, caller, message, rpc, task_of
from support.agent_servers import AgentServer
from support.scenes import check_books

NOWHERE = "00000000-0000-4000-8000-000000000000"
ABOUT_A_TASK = [
    ("GetTask", {"id": "{task}"}),
    ("CancelTask", {"id": "{task}"}),
    ("SubscribeToTask", {"id": "{task}"}),
    ("CreateTaskPushNotificationConfig", {"taskId": "{task}", "url": "https://hook.example/x"}),
    ("GetTaskPushNotificationConfig", {"taskId": "{task}", "id": "{task}"}),
    ("ListTaskPushNotificationConfigs", {"taskId": "{task}"}),
    ("DeleteTaskPushNotificationConfig", {"taskId": "{task}", "id": "{task}"}),
    ("SendMessage", message("do more", taskId="{task}")),
    ("SendMessage", message("do more", contextId="{context}")),
    ("SendMessage", message("do more", referenceTaskIds=["{task}"])),
    ("SendStreamingMessage", message("do more", taskId="{task}")),
]


def naming(params: object, task: str, context: str) -> Any:
    """Fill the ids into the params of a table."""
    text = json.dumps(params).replace("{task}", task).replace("{context}", context)
    return json.loads(text)


async def exchange(client: httpx2.AsyncClient, method: str, params: Any) -> tuple[int, bytes, list[tuple[str, str]]]:
    response = await rpc(client, method, params)
    return response.status_code, response.content, sorted(response.headers.multi_items())


def behind(folder: Path, worker: AgentServer) -> Any:
    return agents_behind(folder, [worker.entry("worker", ", push: relay")])


@pytest.mark.requirement("a2a.foreign-is-unknown")
async def test_a_foreign_id_answers_byte_for_byte_like_one_that_never_was(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana:
        task = await task_of(ana)
        before = len(worker.seen())
        for other in ("twin", "spy"):
            async with caller(running, other) as client:
                for method, params in ABOUT_A_TASK:
                    foreign = await exchange(client, method, naming(params, task["id"], task["contextId"]))
                    unknown = await exchange(client, method, naming(params, NOWHERE, NOWHERE))
                    assert foreign == unknown, method
                    assert foreign[0] == 200
                    assert b'"code":-32001' in foreign[1], (method, foreign[1])
        assert len(worker.seen()) == before, "nothing of it reached the agent"
        check_books(await running.settled())


@pytest.mark.requirement("a2a.foreign-is-unknown")
async def test_a_foreign_context_holds_what_an_unknown_one_does_nothing(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana, caller(running, "twin") as ben:
        task = await task_of(ana)
        before = len(worker.seen())
        found = [await exchange(ben, "ListTasks", {"contextId": one}) for one in (task["contextId"], NOWHERE)]
        assert found[0] == found[1]
        assert json.loads(found[0][1])["result"]["tasks"] == []
        assert len(worker.seen()) == before, "nothing of it reached the agent"
        own = await rpc(ana, "ListTasks", {"contextId": task["contextId"]})
        assert [one["id"] for one in own.json()["result"]["tasks"]] == [task["id"]]


@pytest.mark.requirement("a2a.foreign-is-unknown")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/{task}"), ("POST", "/tasks/{task}:cancel"), ("GET", "/tasks/{task}:subscribe"),
        ("POST", "/tasks/{task}:subscribe"), ("GET", "/tasks/{task}/pushNotificationConfigs"),
    ],
)  # fmt: skip
async def test_http_json_says_404_to_both(tmp_path: Path, worker: AgentServer, method: str, path: str) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana, caller(running, "twin") as ben:
        task = await task_of(ana)
        answers = [
            await ben.request(method, "/a2a/worker" + path.format(task=id_), headers=V1)
            for id_ in (task["id"], NOWHERE)
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content


async def test_its_owner_reads_cancels_and_goes_on(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana:
        task = await task_of(ana, "ask for it")
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        read = (await rpc(ana, "GetTask", {"id": task["id"]})).json()["result"]
        assert read["id"] == task["id"]
        more = await rpc(ana, "SendMessage", message("do it now", taskId=task["id"], contextId=task["contextId"]))
        assert more.json()["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        again = await rpc(ana, "SendMessage", message("say hello", contextId=task["contextId"]))
        assert again.json()["result"]["message"]["parts"] == [{"text": "hello"}]


@pytest.mark.requirement("a2a.task-owner-survives")
async def test_whose_a_task_is_survives_a_restart(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana:
        task = await task_of(ana)
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana, caller(running, "twin") as ben:
        assert (await rpc(ana, "GetTask", {"id": task["id"]})).json()["result"]["id"] == task["id"]
        assert (await rpc(ben, "GetTask", {"id": task["id"]})).json()["error"]["code"] == -32001


# --- lists -----------------------------------------------------------------------------------


async def listed(client: httpx2.AsyncClient, **params: object) -> dict[str, Any]:
    answer: dict[str, Any] = (await rpc(client, "ListTasks", params)).json()
    return answer.get("result", answer)


@pytest.mark.requirement("a2a.own-tasks-only")
async def test_a_list_shows_ones_own_page_by_page(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana, caller(running, "twin") as ben:
        hers = {(await task_of(ana, f"do {number}"))["id"] for number in range(5)}
        his = {(await task_of(ben, f"do {number}"))["id"] for number in range(2)}
        assert {task["id"] for task in (await listed(ben))["tasks"]} == his
        seen: list[str] = []
        token = ""
        for _ in range(4):
            page = await listed(ana, pageSize=2, pageToken=token)
            assert (page["pageSize"], page["totalSize"]) == (2, 5)
            assert len(page["tasks"]) <= 2
            seen += [task["id"] for task in page["tasks"]]
            token = page["nextPageToken"]
            if not token:
                break
        assert (len(seen), set(seen)) == (5, hers)


@pytest.mark.requirement("a2a.own-tasks-only")
async def test_a_page_token_is_its_callers_alone(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana, caller(running, "twin") as ben:
        for number in range(2):
            await task_of(ana, f"do {number}")
        token = (await listed(ana, pageSize=1))["nextPageToken"]
        assert token
        for stolen in (token, token[:-2], "x", 7):
            assert (await listed(ben, pageToken=stolen))["error"]["code"] == -32602


async def test_a_list_narrows_by_state_and_context(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana:
        done, asked = await task_of(ana, "do it"), await task_of(ana, "ask me")
        found = await listed(ana, status="TASK_STATE_INPUT_REQUIRED")
        assert ([task["id"] for task in found["tasks"]], found["totalSize"]) == ([asked["id"]], 1)
        found = await listed(ana, contextId=done["contextId"])
        assert [task["id"] for task in found["tasks"]] == [done["id"]]
        for size in (0, 101, -1, "many", True):
            assert (await listed(ana, pageSize=size))["error"]["code"] == -32602


async def test_an_agent_without_a_list_is_listed_all_the_same(tmp_path: Path, old_worker: AgentServer) -> None:
    async with (
        behind(tmp_path, old_worker) as running,
        caller(running, "planner") as ana,
        caller(running, "twin") as ben,
    ):
        hers = [(await task_of(ana, f"do {number}"))["id"] for number in range(3)]
        await task_of(ben, "do it")
        first = await listed(ana, pageSize=2)
        second = await listed(ana, pageSize=2, pageToken=first["nextPageToken"])
        assert [task["id"] for task in first["tasks"] + second["tasks"]] == hers[::-1]
        assert first["tasks"][0]["status"]["state"] == "TASK_STATE_COMPLETED"
        assert (first["totalSize"], second["nextPageToken"]) == (3, "")


async def test_the_list_over_http_json_is_the_same(tmp_path: Path, worker: AgentServer) -> None:
    async with behind(tmp_path, worker) as running, caller(running, "planner") as ana:
        for number in range(3):
            await task_of(ana, f"do {number}")
        page = (await ana.get("/a2a/worker/tasks?pageSize=2", headers=V1)).json()
        rest = (await ana.get(f"/a2a/worker/tasks?pageSize=2&pageToken={page['nextPageToken']}", headers=V1)).json()
        assert (len(page["tasks"]), len(rest["tasks"]), rest["nextPageToken"]) == (2, 1, "")
