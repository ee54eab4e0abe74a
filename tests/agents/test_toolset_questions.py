"""What a tool says and asks on its way, as states of a task and messages to it."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import httpx2
import orjson
import pytest

from agent_gateway.ports import Recorder
from support.agent_scenes import V1, agents_behind, all_there, caller, events, rpc
from support.desk_scenes import DESK, TOOLSET, ask, calling, done, parts, said, state
from support.gateways import TestGateway
from support.mcp_servers import HttpServer, start_http_server
from support.scenes import POLICY, check_books


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
        assert await end_of(ana, asked) == "FAILED"
        assert not len(running.worker.gateway.parked)
        waiting = await done(ana, calling("legacy__book", message_id="m-2"))
        assert state((await ask(ana, "CancelTask", {"id": waiting["id"]}))["result"]) == "CANCELED"
        assert not len(running.worker.gateway.parked)
        check_books(await running.settled())


async def end_of(client: httpx2.AsyncClient, task: Mapping[str, object]) -> str:
    """Return the state that a waiting task comes to."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task["id"]}})
    stream = await client.post(DESK, content=body, headers=V1 | {"content-type": "application/json"})
    return state(events(stream)[-1]["result"]["statusUpdate"])


class HeldRecorder:
    """Stands before the audit log: nothing is durable until it is let go."""

    def __init__(self, real: Recorder) -> None:
        self._real = real
        self.asked, self.free = anyio.Event(), anyio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def durable(self, index: int) -> None:
        self.asked.set()
        await self.free.wait()
        await self._real.durable(index)


@pytest.mark.requirement("a2a.toolset-agents")
async def test_an_answer_that_came_in_time_counts_however_long_its_record_takes(
    tmp_path: Path, servers: dict[str, HttpServer]
) -> None:
    quick = {"modern": servers["modern"]}
    async with (
        behind(tmp_path, quick, "limits: {answer_timeout_s: 3}\n") as running,
        caller(running, "planner", DESK) as ana,
    ):
        asked = await done(ana, calling("modern__book"))
        later = await done(ana, calling("modern__book", message_id="m-2"))  # its time is up after that of the first
        services = running.worker.gateway.services
        real = services.recorder
        held = HeldRecorder(real)
        services.recorder = cast("Recorder", held)
        reply = {"messageId": "m-3", "role": "ROLE_USER", "parts": [{"text": "day 1"}], "taskId": asked["id"]}
        answered: list[str] = []

        async def answer() -> None:
            answered.append(state(await done(ana, {"message": reply})))

        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            await held.asked.wait()
            assert await end_of(ana, later) == "FAILED"
            services.recorder = real
            held.free.set()
        assert answered == ["COMPLETED"]
        check_books(await running.settled())
