"""What A2A asks of an agent, as cases by requirement id (those of the official TCK where it has one).

Each case speaks to one endpoint and asserts. They know nothing of the gateway and use none of its code.
"""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

Case = Callable[["Speaker"], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Register a case under its requirement's id."""

    def keep(run: Case) -> Case:
        CASES[name] = run
        return run

    return keep


@dataclass(frozen=True)
class Speaker:
    """A client of one endpoint, in one binding of 1.0."""

    http: httpx2.AsyncClient
    url: str
    is_rest: bool
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"a2a-version": "1.0", "content-type": "application/json"}
    )

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """Return the result of an operation, or `{"failed": code}` with the HTTP status or JSON-RPC code."""
        verb, url, content = self.request(method, params)
        answer = await self.http.request(verb, url, content=content, headers=self.headers)
        if self.is_rest:
            return (
                {"failed": answer.status_code} if answer.status_code >= 400 else answer.json() if answer.content else {}
            )
        body = answer.json()
        return {"failed": body["error"]["code"]} if "error" in body else body["result"]

    async def events(self, method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the results of every event of a stream."""
        verb, url, content = self.request(method, params)
        async with self.http.stream(verb, url, headers=self.headers, content=content) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream"), await answer.aread()
            lines = [
                line.removeprefix("data:").strip() async for line in answer.aiter_lines() if line.startswith("data:")
            ]
        found = [json.loads(line) for line in lines]
        return found if self.is_rest else [one["result"] for one in found]

    def request(self, method: str, params: dict[str, Any]) -> Any:
        if not self.is_rest:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return "POST", self.url, json.dumps(message)
        task, config = params.get("taskId", params.get("id", "")), params.get("id", "")
        push = f"/tasks/{task}/pushNotificationConfigs"
        query = "?" + "&".join(f"{name}={value}" for name, value in params.items() if name != "id")
        verb, path = {
            "SendMessage": ("POST", "/message:send"),
            "SendStreamingMessage": ("POST", "/message:stream"),
            "GetTask": ("GET", f"/tasks/{task}{query}"),
            "ListTasks": ("GET", f"/tasks{query}"),
            "CancelTask": ("POST", f"/tasks/{task}:cancel"),
            "SubscribeToTask": ("POST", f"/tasks/{task}:subscribe"),
            "CreateTaskPushNotificationConfig": ("POST", push),
            "GetTaskPushNotificationConfig": ("GET", f"{push}/{config}"),
            "ListTaskPushNotificationConfigs": ("GET", push),
            "DeleteTaskPushNotificationConfig": ("DELETE", f"{push}/{config}"),
            "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
        }[method]
        body = {name: value for name, value in params.items() if name != "taskId"}
        is_sent = verb == "POST" and not path.endswith((":cancel", ":subscribe"))
        return verb, self.url + path, json.dumps(body) if is_sent else None

    async def send(self, act: str, **message: Any) -> Any:
        return await self.call("SendMessage", sent(act, **message))

    async def task(self, act: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.send(act))["task"]
        return found


def sent(act: str, **message: Any) -> dict[str, Any]:
    ids = {"messageId": f"{act}-{uuid.uuid4()}", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    return {"message": ids | message}


def state(task: Mapping[str, Any]) -> str:
    return task["status"]["state"]


@case("CORE-SEND-001")
async def a_message_makes_a_task(it: Speaker) -> None:
    assert state(await it.task("tck-complete-task")) == "TASK_STATE_COMPLETED"


@case("CORE-SEND-002")
async def a_message_may_be_answered_by_one(it: Speaker) -> None:
    assert (await it.send("tck-message-response"))["message"]["parts"] == [{"text": "Direct message response"}]


@case("CORE-SEND-004")
async def a_task_may_be_rejected(it: Speaker) -> None:
    assert state(await it.task("tck-reject-task")) == "TASK_STATE_REJECTED"


@case("CORE-GET-001")
async def a_task_is_found_again(it: Speaker) -> None:
    task = await it.task("tck-complete-task")
    again = await it.call("GetTask", {"id": task["id"]})
    assert (again["id"], again["contextId"], state(again)) == (task["id"], task["contextId"], state(task))


@case("CORE-GET-002")
async def an_unknown_task_is_not_found(it: Speaker) -> None:
    for method in ("GetTask", "CancelTask"):
        assert await it.call(method, {"id": str(uuid.uuid4())}) == {"failed": 404 if it.is_rest else -32001}


@case("CORE-HIST-001")
async def no_history_is_told_when_none_is_asked_for(it: Speaker) -> None:
    task = await it.task("tck-complete-task")
    assert not (await it.call("GetTask", {"id": task["id"], "historyLength": 0})).get("history")


@case("CORE-LIST-001")
async def a_list_holds_the_task(it: Speaker) -> None:
    task = await it.task("tck-complete-task")
    listed = await it.call("ListTasks", {"contextId": task["contextId"]})
    assert [one["id"] for one in listed["tasks"]] == [task["id"]]
    assert (listed["nextPageToken"], listed["totalSize"]) == ("", 1)


@case("CORE-LIST-002")
async def a_context_that_is_not_there_holds_nothing(it: Speaker) -> None:
    assert (await it.call("ListTasks", {"contextId": str(uuid.uuid4())}))["tasks"] == []


@case("CORE-LIST-003")
async def pages_hold_each_task_once(it: Speaker) -> None:
    ids = {(await it.task("tck-complete-task"))["id"] for _ in range(3)}
    found: list[str] = []
    token = ""
    while True:
        asked = {"pageSize": 2} | ({"pageToken": token} if token else {})
        page = await it.call("ListTasks", asked)
        found += [one["id"] for one in page["tasks"]]
        token = page["nextPageToken"]
        if not token:
            break
    assert ids <= set(found)
    assert len(found) == len(set(found))


@case("CORE-CANCEL-001")
async def a_task_that_waits_is_cancelled(it: Speaker) -> None:
    task = await it.task("tck-input-required")
    assert state(task) == "TASK_STATE_INPUT_REQUIRED"
    assert state(await it.call("CancelTask", {"id": task["id"]})) == "TASK_STATE_CANCELED"


@case("CORE-CANCEL-002")
async def a_task_that_has_ended_is_not_cancelled(it: Speaker) -> None:
    task = await it.task("tck-complete-task")
    assert await it.call("CancelTask", {"id": task["id"]}) == {"failed": 400 if it.is_rest else -32002}


@case("CORE-MULTI-001")
async def a_task_goes_on_in_its_context(it: Speaker) -> None:
    task = await it.task("tck-input-required")
    went_on = (await it.send("tck-complete-task", taskId=task["id"], contextId=task["contextId"]))["task"]
    assert (went_on["id"], state(went_on)) == (task["id"], "TASK_STATE_COMPLETED")


@case("CORE-MULTI-003")
async def an_unknown_task_does_not_go_on(it: Speaker) -> None:
    assert await it.send("tck-complete-task", taskId=str(uuid.uuid4())) == {"failed": 404 if it.is_rest else -32001}


@case("ARTIFACTS")
async def artifacts_of_every_kind_come_whole(it: Speaker) -> None:
    for act, part in {
        "tck-artifact-text": {"text": "Generated text content"},
        "tck-artifact-file-url": {"url": "https://example.com/output.txt"},
        "tck-artifact-file": {"raw": "ZmlsZSBjb250ZW50"},
        "tck-artifact-data": {"data": {"key": "value", "count": 42}},
    }.items():
        artifact = (await it.task(act))["artifacts"][0]
        assert part.items() <= artifact["parts"][0].items(), act


@case("CORE-STREAM-001")
async def a_stream_begins_with_the_task_and_ends_with_its_end(it: Speaker) -> None:
    events = await it.events("SendStreamingMessage", sent("tck-stream-001"))
    assert "task" in events[0]
    assert any("artifactUpdate" in one for one in events)
    assert state(events[-1]["statusUpdate"]) == "TASK_STATE_COMPLETED"


@case("STREAM-ORDER-001")
async def chunks_come_in_order(it: Speaker) -> None:
    events = await it.events("SendStreamingMessage", sent("tck-stream-artifact-chunked"))
    updates = [one["artifactUpdate"] for one in events if "artifactUpdate" in one]
    assert [one["artifact"]["parts"][0]["text"] for one in updates] == ["chunk-1 ", "chunk-2"]
    assert updates[-1]["lastChunk"]


@case("STREAM-SUB-002")
async def a_task_that_has_ended_is_not_subscribed_to(it: Speaker) -> None:
    task = await it.task("tck-complete-task")
    assert await it.call("SubscribeToTask", {"id": task["id"]}) == {"failed": 400 if it.is_rest else -32004}


@case("PUSH")
async def a_webhook_is_kept_told_and_forgotten(it: Speaker) -> None:
    task = await it.task("tck-input-required")
    made = await it.call("CreateTaskPushNotificationConfig", {"taskId": task["id"], "url": "http://127.0.0.1:9/x"})
    assert made["url"] == "http://127.0.0.1:9/x"
    named = {"taskId": task["id"], "id": made["id"]}
    assert (await it.call("GetTaskPushNotificationConfig", named))["url"] == made["url"]
    listed = await it.call("ListTaskPushNotificationConfigs", {"taskId": task["id"]})
    assert [one["id"] for one in listed["configs"]] == [made["id"]]
    for _ in range(2):
        assert not await it.call("DeleteTaskPushNotificationConfig", named)
    assert not (await it.call("ListTaskPushNotificationConfigs", {"taskId": task["id"]})).get("configs")


@case("CARD-EXT-001")
async def an_extended_card_is_served(it: Speaker) -> None:
    assert (await it.call("GetExtendedAgentCard", {}))["name"] == "Under test"


@case("CARD-STRUCT-001")
async def a_card_says_where_it_is_served(it: Speaker) -> None:
    answer = await it.http.get(it.url + "/.well-known/agent-card.json")
    card = answer.json()
    assert {one["protocolVersion"] for one in card["supportedInterfaces"]} == {"1.0"}
    assert all(one["url"].rstrip("/") == it.url for one in card["supportedInterfaces"])
    again = await it.http.get(
        it.url + "/.well-known/agent-card.json", headers={"if-none-match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@case("VERSION")
async def another_version_is_refused(it: Speaker) -> None:
    verb, url, content = it.request("SendMessage", sent("tck-complete-task"))
    answer = await it.http.request(verb, url, content=content, headers={**it.headers, "a2a-version": "2.0"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == ((400, 400) if it.is_rest else (200, -32009))


@case("JSONRPC-ERR")
async def what_is_no_request_is_answered_by_the_right_error(it: Speaker) -> None:
    if it.is_rest:
        answer = await it.http.post(it.url + "/message:send", content="{", headers=it.headers)
        assert answer.status_code == 400
        return
    for content, code in (
        ("{", -32700),
        ("[]", -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"Nope"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}', -32602),
    ):
        answer = await it.http.post(it.url, content=content, headers=it.headers)
        assert answer.json()["error"]["code"] == code, content
