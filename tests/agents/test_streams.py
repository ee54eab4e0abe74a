"""Streams that end early, are taken up again, or never begin: the task goes on without its listener."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

from support.agent_scenes import V1, agents_behind, caller, events, message, rpc, task_of
from support.agent_servers import AgentServer, start_agent
from support.raw_agent import STREAM, Asked, http, raw_agent, saying
from support.scenes import check_books, of_kind

WAIT_S = 60


@asynccontextmanager
async def streaming(client: httpx2.AsyncClient, method: str, params: Mapping[str, object]) -> AsyncGenerator[Any]:
    """Open a stream; yield an iterator over its events."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"content-type": "application/json", "accept": "text/event-stream", **V1}
    async with client.stream("POST", "/a2a/worker", content=body, headers=headers) as response:
        assert response.status_code == 200

        async def read() -> AsyncGenerator[dict[str, Any]]:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield orjson.loads(line[5:])["result"]

        yield read()


@pytest.mark.requirement("a2a.disconnect")
async def test_a_task_goes_on_without_its_listener_and_can_be_taken_up_again(tmp_path: Path) -> None:
    with start_agent("--versions", "1.0") as own:
        async with agents_behind(tmp_path, [own.entry("worker")]) as running, caller(running, "planner") as ana:
            with anyio.fail_after(WAIT_S):
                async with streaming(ana, "SendStreamingMessage", message("wait")) as first:
                    task = (await anext(first))["task"]
                async with streaming(ana, "SubscribeToTask", {"id": task["id"]}) as again:
                    current = (await anext(again))["task"]
                    assert (current["id"], current["status"]["state"][-7:]) in (
                        (task["id"], "WORKING"),
                        (task["id"], "BMITTED"),
                    )
                    async with streaming(ana, "SubscribeToTask", {"id": task["id"]}) as beside:
                        assert (await anext(beside))["task"]["id"] == task["id"]
                    own.release()
                    rest = [event async for event in again]
            states = [one["statusUpdate"]["status"]["state"] for one in rest if "statusUpdate" in one]
            assert states[-1] == "TASK_STATE_COMPLETED"
            over = await rpc(ana, "SubscribeToTask", {"id": task["id"]})
            assert (over.headers["content-type"], over.json()["error"]["code"]) == ("application/json", -32004)
            assert not any("CancelTask" in one["body"] for one in own.seen())
            outcomes = [one["status"] for one in of_kind(await running.settled(), "outcome")]
            assert outcomes.count("cancelled") == 2, outcomes
            check_books(running.records())


@pytest.mark.requirement("a2a.disconnect")
async def test_who_leaves_closes_the_stream_at_the_agent(tmp_path: Path) -> None:
    left, began = anyio.Event(), anyio.Event()

    async def say(asked: Asked) -> None:
        await asked.peer.say(STREAM + b'data: {"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{}}}}\n\n')
        began.set()
        await asked.peer.until_closed()
        left.set()

    async with raw_agent(say) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        with anyio.fail_after(WAIT_S):
            async with caller(running, "planner") as ana:
                async with streaming(ana, "SendStreamingMessage", message("x")) as stream:
                    assert (await anext(stream))["task"]["id"] == "t"
                    await began.wait()
                await left.wait()
        (outcome,) = of_kind(await running.settled(), "outcome")
        assert (outcome["status"], outcome["code"]) == ("cancelled", "cancelled")
        assert len(agent.asked) == 1


async def test_an_agent_that_breaks_off_ends_the_stream_with_an_error_event(tmp_path: Path) -> None:
    half = b'data: {"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{}}}}\n\ndata: {"jsonr'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def say(asked: Asked) -> None:
        await asked.peer.say(head + b"%x\r\n%b\r\n" % (len(half), half))
        asked.peer.writer.transport.abort()

    async with raw_agent(say) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        async with caller(running, "planner") as ana:
            answer = await rpc(ana, "SendStreamingMessage", message("x"))
        assert "event: error" in answer.text
        assert "UPSTREAM_DIED" in answer.text
        assert [one["status"] for one in of_kind(await running.settled(), "outcome")] == ["upstream_error"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(b"<html>127.0.0.1</html>", kind=b"text/html"), "INVALID_AGENT_RESPONSE"),
        (http(b"gone", b"502 Bad Gateway", b"text/plain"), "INVALID_AGENT_RESPONSE"),
        (http(b"", b"302 Found"), "UPSTREAM_REDIRECT"),
        (http(b"{}", b"401 Unauthorized"), "UPSTREAM_UNAUTHORIZED"),
        (http(b"{}", b"403 Forbidden"), "UPSTREAM_UNAUTHORIZED"),
        (STREAM + b"data: {}\n\n", "INVALID_AGENT_RESPONSE"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n", "UPSTREAM_GARBAGE"),
        (b"not http at all\r\n\r\n", "UPSTREAM_GARBAGE"),
    ],
)
async def test_an_answer_that_is_none_is_one_error_and_one_record(tmp_path: Path, answer: bytes, code: str) -> None:
    async with raw_agent(saying(answer)) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        async with caller(running, "planner") as ana:
            said = await rpc(ana, "SendMessage", message("x"))
        assert said.json()["error"]["data"][0]["reason"] == code, said.text
        assert "127.0.0.1" not in said.text
        records = await running.settled()
        assert [one["status"] for one in of_kind(records, "outcome")] == ["upstream_error"]
        check_books(records)


@pytest.mark.requirement("a2a.task-owner")
async def test_an_agent_that_tells_of_somebody_elses_task_is_not_believed(tmp_path: Path) -> None:
    told = http(b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}')
    async with raw_agent(saying(told)) as agent, agents_behind(tmp_path, [agent.entry("worker")]) as running:
        async with caller(running, "planner") as ana, caller(running, "spy") as eve:
            assert (await task_of(ana))["id"] == "t"
            stolen = await rpc(eve, "SendMessage", message("x"))
        assert stolen.json()["error"]["code"] == -32006
        assert "TASK_STATE_WORKING" not in stolen.text


async def test_a_stream_of_the_other_version_is_translated_event_by_event(
    tmp_path: Path, old_worker: AgentServer
) -> None:
    async with agents_behind(tmp_path, [old_worker.entry("worker")]) as running, caller(running, "planner") as ana:
        told = events(await rpc(ana, "SendStreamingMessage", message("do it")))
        assert [next(iter(one["result"])) for one in told][-2:] == ["artifactUpdate", "statusUpdate"]
        assert told[-1]["result"]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
        rest = await ana.post("/a2a/worker/message:stream", json=message("do it"), headers=V1)
        assert all("jsonrpc" not in one for one in events(rest))
