"""Toolsets as agents: messages are calls of tools, in every dialect, by the same policies, budgets and records."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

from support.agent_scenes import V1, agents_behind, all_there, caller, events, rpc
from support.gateways import TestGateway
from support.mcp_servers import HttpServer, start_http_server
from support.raw_upstream import (
    Gate,
    RawUpstream,
    Tool,
    answer,
    definition,
    http,
    raw_upstream,
    saying,
    text,
)
from support.scenes import POLICY, check_books, of_kind

DESK = "/a2a/desk"
TOOLSET = "toolsets:\n  desk: {agent: {%s}}\n"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
Params = dict[str, Any]
repeat: Tool = saying(lambda call: answer(call, text(call.arguments["text"])))


def calling(
    tool: str, arguments: Mapping[str, object] | None = None, message_id: str = "m-1", **more: object
) -> Params:
    """Return the params of a 1.0 message that calls a tool."""
    data = {"tool": tool, "arguments": arguments or {}}
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"data": data}], **more}}


@asynccontextmanager
async def desk(
    folder: Path,
    tools: Mapping[str, Tool],
    agent: str = "",
    *,
    more: str = "",
    policy: str = POLICY,
    shown: list[dict[str, Any]] | None = None,
) -> AsyncGenerator[tuple[TestGateway, RawUpstream]]:
    """A toolset of a raw upstream's tools, served as an agent."""
    async with (
        raw_upstream(tools, shown or [definition(name, TEXT) for name in tools]) as upstream,
        agents_behind(folder, [upstream.entry()], TOOLSET % agent + more, policy) as running,
    ):
        with anyio.fail_after(60):
            yield running, upstream


async def ask(client: httpx2.AsyncClient, method: str, params: Params, **more: Any) -> dict[str, Any]:
    """Send one request and return its answer."""
    answered: dict[str, Any] = (await rpc(client, method, params, path=DESK, **more)).json()
    return answered


async def done(client: httpx2.AsyncClient, params: Params) -> dict[str, Any]:
    """Send one message and return the task it leads to."""
    answered = await ask(client, "SendMessage", params)
    assert "result" in answered, answered
    task: dict[str, Any] = answered["result"]["task"]
    return task


def state(task: dict[str, Any]) -> str:
    return str(task["status"]["state"]).removeprefix("TASK_STATE_")


def parts(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for artifact in task.get("artifacts", []) for part in artifact["parts"]]


def said(task: dict[str, Any]) -> str:
    return str(task["status"]["message"]["parts"][0]["text"])


def code(answered: dict[str, Any]) -> str:
    return str(answered["error"]["data"][0]["metadata"]["code"])


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.toolset-agents")
async def test_a_message_is_a_call_with_the_tools_own_price_and_record(tmp_path: Path) -> None:
    budget = "budgets:\n  - {name: money, scope: agent, unit: micros, limit: 250, window: total}\n"
    async with (
        desk(tmp_path, {"echo": repeat}, more=budget) as (running, upstream),
        caller(running, "planner", DESK) as ana,
    ):
        task = await done(ana, calling("raw__echo", {"text": "hi"}))
        assert (state(task), parts(task)) == ("COMPLETED", [{"text": "hi"}])
        assert upstream.calls[-1].arguments == {"text": "hi"}
        again = await ask(ana, "GetTask", {"id": task["id"]})
        assert again["result"] == task
        assert state(await done(ana, calling("raw__echo", {"text": "b"}, "m-2"))) == "COMPLETED"
        over = await rpc(ana, "SendMessage", calling("raw__echo", {"text": "c"}, "m-3"), path=DESK)
        assert (over.status_code, code(over.json())) == (429, "over_budget")
        assert upstream.count("echo") == 2
        listed = (await ask(ana, "ListTasks", {}))["result"]
        assert [one["id"] for one in listed["tasks"]][1] == task["id"]
        assert (listed["totalSize"], "artifacts" in listed["tasks"][0]) == (2, False)
        records = await running.settled()
        decided = of_kind(records, "decision")
        assert [(one["action"], one["route"]) for one in decided] == [("call", "desk")] * len(decided)
        check_books(records)


@pytest.mark.requirement("a2a.toolset-agents")
async def test_all_dialects_say_the_same(tmp_path: Path) -> None:
    async with desk(tmp_path, {"echo": repeat}) as (running, upstream), caller(running, "planner", DESK) as ana:
        sent = {"content-type": "application/json"}
        data = {"tool": "raw__echo", "arguments": {"text": "x", "big": 12345678901234567890}}
        new = {"messageId": "n", "role": "ROLE_USER", "parts": [{"data": data}]}
        rest = await ana.post(f"{DESK}/message:send", content=orjson.dumps({"message": new}), headers=V1 | sent)
        assert (rest.status_code, state(rest.json()["task"])) == (200, "COMPLETED")
        got = await ana.get(f"{DESK}/tasks/{rest.json()['task']['id']}", headers=V1)
        assert got.json()["artifacts"][0]["parts"] == [{"text": "x"}]
        old = {"kind": "message", "messageId": "o", "role": "user", "parts": [{"kind": "data", "data": data}]}
        legacy = await rpc(ana, "message/send", {"message": old}, path=DESK, headers={})
        task = legacy.json()["result"]
        assert (task["kind"], task["status"]["state"]) == ("task", "completed")
        assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "x"}]
        assert [b"12345678901234567890" in call.body for call in upstream.calls] == [True, True]
        stream = await rpc(ana, "message/stream", {"message": old | {"messageId": "s"}}, path=DESK, headers={})
        found = [one["result"] for one in events(stream)]
        assert found[0]["kind"] == "task"  # how much of it has happened by then is the machine's affair
        assert found[-1]["status"]["state"] == "completed"
        assert found[-1].get("final", True) is True
        check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents")
async def test_results_keep_their_kind(tmp_path: Path) -> None:
    blocks = (
        b'{"content":[{"type":"text","text":"t"},{"type":"image","data":"QUJD","mimeType":"image/png"},'
        b'{"type":"resource_link","uri":"https://x.example/f","name":"f"},'
        b'{"type":"resource","resource":{"uri":"x:y","blob":"QUJD"}}],'
        b'"structuredContent":{"n":12345678901234567890},"resultType":"complete"}'
    )
    tools: Mapping[str, Tool] = {
        "rich": saying(lambda call: answer(call, blocks)),
        "failed": saying(lambda call: answer(call, {**text("oh no"), "isError": True})),
        "error": saying(
            lambda call: http(b'{"jsonrpc":"2.0","id":%b,"error":{"code":-1,"message":"no"}}' % orjson.dumps(call.id))
        ),
        "garbage": saying(lambda _: http(b"hello")),
    }
    async with desk(tmp_path, tools) as (running, _), caller(running, "planner", DESK) as ana:
        response = await rpc(ana, "SendMessage", calling("raw__rich", {"text": ""}), path=DESK)
        assert b'{"n":12345678901234567890}' in response.content
        assert [sorted(part)[0] for part in parts(response.json()["result"]["task"])] == [
            "text", "mediaType", "filename", "filename", "data",
        ]  # fmt: skip
        for tool, words in {"failed": "oh no", "error": "no", "garbage": "the upstream"}.items():
            task = await done(ana, calling(f"raw__{tool}", {"text": ""}, tool))
            assert (state(task), said(task)[: len(words)], parts(task)) == ("FAILED", words, [])
        check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents")
async def test_what_names_no_tool_is_told_what_to_send(tmp_path: Path) -> None:
    async with (
        desk(tmp_path, {"echo": repeat, "other": repeat}) as (running, upstream),
        caller(running, "planner", DESK) as ana,
    ):
        data = {"tool": "raw__echo", "arguments": {"text": "x"}}
        senseless: list[list[dict[str, Any]]] = [
            [{"text": "do it"}],
            [],
            [{"data": data}, {"data": data}],
            [{"data": data | {"extra": 1}}],
            [{"data": {"arguments": {}}}],
            [{"data": {"tool": "raw__echo", "arguments": []}}],
            [{"data": [1]}],
        ]
        for bad in senseless:
            message = {"messageId": "m", "role": "ROLE_USER", "parts": bad}
            told = await ask(ana, "SendMessage", {"message": message})
            assert (told["error"]["code"], "data part" in str(told)) == (-32602, True), bad
        file = {"messageId": "m", "role": "ROLE_USER", "parts": [{"raw": "QUJD"}]}
        assert (await ask(ana, "SendMessage", {"message": file}))["error"]["code"] == -32005
        wrong = await ask(ana, "SendMessage", calling("raw__echo", {"text": 1}))
        assert (code(wrong), wrong["error"]["code"]) == ("invalid_arguments", -32602)
        skill = {"metadata": {"https://agent-gateway.invalid/a2a/skill/v1": {"skillId": "raw__echo"}}}
        named = {"messageId": "n", "role": "ROLE_USER", "parts": [{"data": {"text": "by name"}}], **skill}
        assert parts(await done(ana, {"message": named})) == [{"text": "by name"}]
        words = {"messageId": "w", "role": "ROLE_USER", "parts": [{"text": "by words"}], **skill}
        assert parts(await done(ana, {"message": words})) == [{"text": "by words"}]
        assert upstream.count("other") == 0


@pytest.mark.requirement("a2a.toolset-agents")
async def test_one_tool_of_one_text_takes_plain_words(tmp_path: Path) -> None:
    async with desk(tmp_path, {"echo": repeat}) as (running, _), caller(running, "planner", DESK) as ana:
        words = {"messageId": "w", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
        assert parts(await done(ana, {"message": words})) == [{"text": "hello"}]


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.toolset-agents")
async def test_a_hidden_tool_is_an_unknown_one(tmp_path: Path) -> None:
    policy = POLICY + '@id("no") forbid (principal, action, resource == Tool::"raw__secret");\n'
    tools = {"echo": repeat, "secret": repeat}
    async with desk(tmp_path, tools, policy=policy) as (running, upstream), caller(running, "planner", DESK) as ana:
        for skill in (False, True):
            answers = [
                await rpc(ana, "SendMessage", _named(name, skill=skill), path=DESK)
                for name in ("raw__secret", "raw__nobody")
            ]
            hidden, unknown = (one.text.replace("secret", "nobody") for one in answers)
            assert (hidden, answers[0].status_code) == (unknown, answers[1].status_code)
            assert code(answers[0].json()) == "not_found"
        assert upstream.calls == []
        card = (await ana.get(f"{DESK}/.well-known/agent-card.json")).json()
        assert [skill["id"] for skill in card["skills"]] == ["raw__echo"]
        assert "secret" not in str(card)
        check_books(await running.settled())


def _named(name: str, *, skill: bool) -> Params:
    if not skill:
        return calling(name, {"text": "x"})
    metadata = {"https://agent-gateway.invalid/a2a/skill/v1": {"skillId": name}}
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "metadata": metadata}
    return {"message": message}


@pytest.mark.requirement("a2a.toolset-agents")
async def test_who_may_call_nothing_finds_no_agent(tmp_path: Path) -> None:
    async with desk(tmp_path, {"echo": repeat}) as (running, _), caller(running, "spy", DESK) as eve:
        there = await rpc(eve, "SendMessage", calling("raw__echo", {"text": "x"}), path=DESK)
        assert (there.status_code, code(there.json())) == (404, "not_found")
        assert (await eve.get(f"{DESK}/.well-known/agent-card.json")).status_code == 404


@pytest.mark.requirement("a2a.toolset-agents")
async def test_tasks_are_their_owners(tmp_path: Path) -> None:
    people = '@id("all") permit (principal, action == Action::"call", resource);\n'
    async with (
        desk(tmp_path, {"echo": repeat}, policy=people) as (running, _),
        caller(running, "planner", DESK) as ana,
        caller(running, "spy", DESK) as eve,
    ):
        task = await done(ana, calling("raw__echo", {"text": "mine"}))
        foreign: list[tuple[str, Params]] = [
            ("GetTask", {"id": task["id"]}),
            ("CancelTask", {"id": task["id"]}),
            ("SubscribeToTask", {"id": task["id"]}),
            ("SendMessage", calling("raw__echo", {"text": "x"}, "e-1", taskId=task["id"])),
            ("SendMessage", calling("raw__echo", {"text": "x"}, "e-2", contextId=task["contextId"])),
            ("SendMessage", calling("raw__echo", {"text": "x"}, "e-3", referenceTaskIds=[task["id"]])),
        ]
        for method, params in foreign:
            told = await ask(eve, method, params)
            unknown = await ask(
                eve, method, orjson.loads(orjson.dumps(params).replace(task["id"].encode(), b"never-0"))
            )
            assert told["error"]["code"] == -32001, method
            if "contextId" not in str(params):
                assert told == unknown
        assert (await ask(eve, "ListTasks", {}))["result"]["tasks"] == []
        check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents")
async def test_a_message_that_comes_twice_is_one_call(tmp_path: Path) -> None:
    gate = Gate()
    async with desk(tmp_path, {"slow": gate}) as (running, upstream), caller(running, "planner", DESK) as ana:
        params = calling("raw__slow", {"text": "once"}) | {"configuration": {"returnImmediately": True}}
        first = await done(ana, params)
        assert (await done(ana, params))["id"] == first["id"]
        other = await ask(ana, "SendMessage", calling("raw__slow", {"text": "twice"}))
        assert other["error"]["code"] == -32602
        gate.opened.set()
        last = await done(ana, calling("raw__slow", {"text": "once"}))
        assert (last["id"], state(last), upstream.count("slow")) == (first["id"], "COMPLETED", 1)
        assert (await done(ana, params))["id"] == first["id"]
        check_books(await running.settled())


# --- on the way -----------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.toolset-agents")
async def test_who_leaves_does_not_cancel_and_who_cancels_does(tmp_path: Path) -> None:
    gate = Gate()
    async with desk(tmp_path, {"slow": gate}) as (running, _), caller(running, "planner", DESK) as ana:
        params = calling("raw__slow", {"text": "x"}) | {"configuration": {"returnImmediately": True}}
        task = await done(ana, params)
        assert state(task) in ("SUBMITTED", "WORKING")
        await gate.reached.wait()
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task["id"]}})
        headers = V1 | {"content-type": "application/json"}
        async with ana.stream("POST", DESK, content=body, headers=headers) as stream:
            line = await anext(stream.aiter_lines())
            assert orjson.loads(line.removeprefix("data: "))["result"]["task"]["id"] == task["id"]
        assert not gate.left.is_set()
        listed = (await ask(ana, "ListTasks", {"status": "TASK_STATE_WORKING"}))["result"]
        assert [one["id"] for one in listed["tasks"]] == [task["id"]]
        cancelled = (await ask(ana, "CancelTask", {"id": task["id"]}))["result"]
        assert (cancelled["id"], state(cancelled)) == (task["id"], "CANCELED")
        await gate.left.wait()
        assert (await ask(ana, "CancelTask", {"id": task["id"]}))["error"]["code"] == -32002
        assert (await ask(ana, "SubscribeToTask", {"id": task["id"]}))["error"]["code"] == -32004
        records = await running.settled()
        assert [one["status"] for one in of_kind(records, "outcome")] == ["cancelled"]
        check_books(records)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, HttpServer]]:
    with ExitStack() as stack:
        yield {
            "modern": stack.enter_context(start_http_server(era="modern")),
            "legacy": stack.enter_context(start_http_server(era="legacy")),
        }


@asynccontextmanager
async def behind(folder: Path, servers: Mapping[str, HttpServer], more: str = "") -> AsyncGenerator[TestGateway]:
    rules = 'tools: {"*": {risk: 1, read_only: true}}'
    entries = [f"  {name}: {{url: '{one.url}', allow_private: true, {rules}}}\n" for name, one in servers.items()]
    async with agents_behind(folder, entries, TOOLSET % "" + more, POLICY) as running:
        await all_there(running)
        with anyio.fail_after(90):
            yield running


@pytest.mark.requirement("a2a.toolset-agents")
async def test_progress_is_a_state_and_questions_are_answered_with_messages(
    tmp_path: Path, servers: dict[str, HttpServer]
) -> None:
    async with behind(tmp_path, servers) as running, caller(running, "planner", DESK) as ana:
        for name in servers:
            stream = await rpc(
                ana, "SendStreamingMessage", calling(f"{name}__steps", {"count": 3}, f"{name}-s"), path=DESK
            )
            found = [one["result"] for one in events(stream)]
            final = found[-1].get("statusUpdate") or found[-1]["task"]
            assert state(final) == "COMPLETED"
            assert "step 3" in stream.text or "task" in found[-1]
            asked = await done(ana, calling(f"{name}__book_room", {}, f"{name}-1"))
            assert (state(asked), said(asked)) == ("INPUT_REQUIRED", "Which date?")
            bad = {"messageId": f"{name}-b", "role": "ROLE_USER", "parts": [{"raw": "QUJD"}], "taskId": asked["id"]}
            assert (await ask(ana, "SendMessage", {"message": bad}))["error"]["code"] == -32005
            reply = {"messageId": f"{name}-2", "role": "ROLE_USER", "parts": [{"text": "day 1"}], "taskId": asked["id"]}
            more = await done(ana, {"message": reply})
            assert (state(more), said(more)) == ("INPUT_REQUIRED", "Which room on day 1?")
            [key] = more["status"]["message"]["parts"][1]["data"]["questions"]
            answers = {"answers": {key: {"action": "accept", "content": {"date": "room 2"}}}}
            last = {"messageId": f"{name}-3", "role": "ROLE_USER", "parts": [{"data": answers}], "taskId": asked["id"]}
            booked = await done(ana, {"message": last})
            assert (state(booked), parts(booked)[0]) == ("COMPLETED", {"text": "booked day 1 room 2"})
            assert len(booked["history"]) == 3
            assert (await done(ana, {"message": last}))["status"] == booked["status"]  # once more is the same once
            late = await ask(ana, "SendMessage", {"message": last | {"messageId": f"{name}-4"}})
            assert late["error"]["code"] == -32004
        assert not len(running.worker.gateway.parked)
        check_books(await running.settled())


@pytest.mark.requirement("a2a.toolset-agents")
async def test_nobody_waits_for_ever_for_an_answer(tmp_path: Path, servers: dict[str, HttpServer]) -> None:
    quick = {"legacy": servers["legacy"]}
    async with (
        behind(tmp_path, quick, "limits: {answer_timeout_s: 1}\n") as running,
        caller(running, "planner", DESK) as ana,
    ):
        asked = await done(ana, calling("legacy__book"))
        body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": asked["id"]}})
        stream = await ana.post(DESK, content=body, headers=V1 | {"content-type": "application/json"})
        assert state(events(stream)[-1]["result"]["statusUpdate"]) == "FAILED"
        assert not len(running.worker.gateway.parked)
        waiting = await done(ana, calling("legacy__book", message_id="m-2"))
        assert state((await ask(ana, "CancelTask", {"id": waiting["id"]}))["result"]) == "CANCELED"
        assert not len(running.worker.gateway.parked)
        check_books(await running.settled())
