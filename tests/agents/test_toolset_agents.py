"""Toolsets as agents: messages are calls of tools, in every dialect, by the same policies, budgets and records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from support.agent_scenes import V1, caller, events, rpc
from support.desk_scenes import DESK, Params, ask, calling, code, desk, done, parts, repeat, said, state
from support.odd_tools import SSE
from support.raw_upstream import (
    Gate,
    Tool,
    answer,
    http,
    saying,
    text,
)
from support.scenes import POLICY, check_books, of_kind


def _murmur(data: bytes, *, is_last: bool = False) -> bytes:
    """Return one event of a stream, in a chunk: an answer, or the params of a report of progress."""
    told = data if is_last else b'{"jsonrpc":"2.0","method":"notifications/progress","params":%b}' % data
    event = b"data: %b\n\n" % told
    return b"%x\r\n%b\r\n%b" % (len(event), event, b"0\r\n\r\n" if is_last else b"")


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
        "odd": saying(lambda call: answer(call, b'{"content":[7]}')),
        "half": saying(lambda call: answer(call, b'{"content":[{"type":7,"text":"\\ud800"}]}')),
        "murmurs": saying(
            lambda call: (
                SSE
                + _murmur(b'{"progressToken":"a2a","progress":"x","message":null}')
                + _murmur(answer(call, text("heard")).partition(b"\r\n\r\n")[2], is_last=True)
            )
        ),
    }
    async with desk(tmp_path, tools) as (running, _), caller(running, "planner", DESK) as ana:
        response = await rpc(ana, "SendMessage", calling("raw__rich", {"text": ""}), path=DESK)
        assert b'{"n":12345678901234567890}' in response.content
        assert [sorted(part)[0] for part in parts(response.json()["result"]["task"])] == [
            "text", "mediaType", "filename", "filename", "data",
        ]  # fmt: skip
        for tool, words in {"failed": "oh no", "error": "no", "garbage": "the upstream", "odd": ""}.items():
            task = await done(ana, calling(f"raw__{tool}", {"text": ""}, tool))
            assert (state(task), said(task)[: len(words)], parts(task)) == ("FAILED", words, [])
        assert parts(await done(ana, calling("raw__murmurs", {"text": ""}, "murmurs"))) == [{"text": "heard"}]
        half = await done(ana, calling("raw__half", {"text": ""}, "half"))
        assert state(half) == "COMPLETED", half
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
