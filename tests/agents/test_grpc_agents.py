"""Agents that speak gRPC alone, behind the gateway: callers notice nothing, and calls are governed like all others."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from a2a.types import a2a_pb2
from pydantic import ValidationError

from a2a_gateway import cards
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.runtime.agents import targets_of
from agent_gateway.upstreams.agent_client import GRPC_PATH
from support.agent_scenes import POLICY, V1, agents_behind, caller, events, message, old_message, rpc, task_of
from support.gateways import call
from support.grpc_agents import Servicer, a_task, grpc_agent, relay
from support.processes import process
from support.raw_agent import card
from support.scenes import check_books, of_kind, world

NOW = {"configuration": {"returnImmediately": True}}


@pytest.mark.requirement("a2a.grpc-agents")
async def test_every_operation_reaches_an_agent_that_speaks_grpc_alone(tmp_path: Path) -> None:
    async with (
        grpc_agent(tenant="north") as agent,
        agents_behind(tmp_path, [agent.entry("worker", ", auth: {kind: none}")]) as running,
        caller(running, "planner") as ana,
        caller(running, "twin") as ben,
    ):
        with anyio.fail_after(60):
            task = await task_of(ana)
            assert (task["status"]["state"], task["artifacts"][0]["parts"]) == (
                "TASK_STATE_COMPLETED",
                [{"text": "it"}],
            )
            got = (await rpc(ana, "GetTask", {"id": task["id"]})).json()
            assert got["result"]["id"] == task["id"]
            listed = (await rpc(ana, "ListTasks")).json()
            assert [one["id"] for one in listed["result"]["tasks"]] == [task["id"]]
            told = events(await rpc(ana, "SendStreamingMessage", message("do more")))
            assert "task" in told[0]["result"]
            assert told[-1]["result"]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
            extended = (await rpc(ana, "GetExtendedAgentCard")).json()
            assert [skill["id"] for skill in extended["result"]["skills"]] == ["draft", "delete"]
            assert "GRPC" not in json.dumps(extended)
            foreign = (await rpc(ben, "GetTask", {"id": task["id"]})).json()
            unknown = (await rpc(ben, "GetTask", {"id": "nothing"})).json()
            assert foreign["error"]["code"] == unknown["error"]["code"] == -32001
            over = (await rpc(ana, "CancelTask", {"id": task["id"]})).json()
            assert (over["error"]["code"], over["error"]["data"][0]["reason"]) == (-32002, "TASK_NOT_CANCELABLE")
            held = (await rpc(ana, "SendMessage", message("wait") | NOW)).json()["result"]["task"]
            ended = (await rpc(ana, "CancelTask", {"id": held["id"]})).json()
            assert ended["result"]["status"]["state"] == "TASK_STATE_CANCELED"
        records = await running.settled()
        check_books(records)
        assert {"SendMessage", "GetTask", "CancelTask"} <= {one["operation"] for one in of_kind(records, "decision")}
        carried = agent.metadata[0]
        assert carried["a2a-version"] == "1.0"
        assert len(carried["traceparent"]) == 55
        assert not {"accept", "content-length", "host", "authorization"} & set(carried)


@pytest.mark.requirement("a2a.grpc-agents")
async def test_callers_of_0_3_and_of_http_json_are_answered_by_it_too(tmp_path: Path) -> None:
    async with (
        grpc_agent() as agent,
        agents_behind(tmp_path, [agent.entry("worker", ", binding: grpc")]) as running,
        caller(running, "planner") as ana,
    ):
        with anyio.fail_after(60):
            old = (await rpc(ana, "message/send", old_message("do it"), headers={})).json()["result"]
            assert (old["kind"], old["status"]["state"]) == ("task", "completed")
            plain = await ana.post("/a2a/worker/message:send", json=message("do it"), headers=V1)
            assert plain.json()["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.requirement("a2a.grpc-agents", "a2a.disconnect")
async def test_who_leaves_a_stream_closes_it_at_the_agent(tmp_path: Path) -> None:
    ended = anyio.Event()

    async def say(request: Any, context: Any) -> Any:
        del request, context
        try:
            yield a2a_pb2.StreamResponse(task=a_task())
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with (
        grpc_agent(Servicer(say)) as agent,
        agents_behind(tmp_path, [agent.entry("worker")]) as running,
        caller(running, "planner") as ana,
    ):
        body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": message("x")}
        with anyio.fail_after(60):
            async with ana.stream("POST", "/a2a/worker", json=body, headers=V1) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        break
            await ended.wait()
            while running.worker.gateway.active.count:
                await anyio.lowlevel.checkpoint()


@pytest.mark.requirement("a2a.grpc-agents")
async def test_an_agent_that_dies_in_a_stream_ends_it_with_an_error_and_the_next_call_connects_anew(
    tmp_path: Path,
) -> None:
    async def say(request: Any, context: Any) -> Any:
        del context
        yield a2a_pb2.StreamResponse(task=a_task())
        if request.message.parts[0].text == "die":
            await anyio.sleep_forever()

    async with grpc_agent(Servicer(say)) as agent, relay(agent.port) as between:
        agent.port = between.port
        async with (
            agents_behind(tmp_path, [agent.entry("worker")]) as running,
            caller(running, "planner") as ana,
        ):
            with anyio.fail_after(60):
                told: list[Any] = []
                body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": message("die")}
                async with ana.stream("POST", "/a2a/worker", json=body, headers=V1) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data:"):
                            told.append(json.loads(line.removeprefix("data:")))
                            between.cut()
                assert [list(one)[-1] for one in told] == ["result", "error"]
                assert told[1]["error"]["data"][0]["reason"] == "UPSTREAM_DIED"
                again = events(await rpc(ana, "SendStreamingMessage", message("live")))
                assert [list(one["result"]) for one in again] == [["task"]]
            assert between.count == 2
            check_books(await running.settled())


@pytest.mark.requirement("a2a.grpc-agents")
async def test_a_channel_ends_with_the_configuration_that_named_it(tmp_path: Path) -> None:
    async with grpc_agent() as agent, relay(agent.port) as between:
        port, agent.port = agent.port, between.port
        async with (
            agents_behind(tmp_path, [agent.entry("worker")], "limits: {drain_timeout_s: 0.1}\n") as running,
            caller(running, "planner") as ana,
        ):
            await task_of(ana)
            file = tmp_path / "gateway.yaml"
            file.write_text(file.read_text().replace(f"127.0.0.1:{between.port}", f"127.0.0.1:{port}"))
            with anyio.fail_after(60):
                await running.worker.keeper.reload(running.worker.gateway)
                await task_of(ana)
                while not between.writers[0].transport.is_closing():
                    await anyio.lowlevel.checkpoint()


@pytest.mark.requirement("a2a.grpc-agents")
async def test_a_gateway_process_calls_it_with_its_own_event_loop(tmp_path: Path) -> None:
    async with grpc_agent() as agent, process(tmp_path, world([agent.entry("worker")])) as gate:
        (tmp_path / "main.cedar").write_text(POLICY)
        with anyio.fail_after(120):
            await gate.start()
            token = await gate.fetch_token(path="/a2a/worker")
            headers = {**V1, "authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gate.port}", headers=headers, timeout=60) as ana:
                task = await task_of(ana)
                assert task["status"]["state"] == "TASK_STATE_COMPLETED"
                assert len(events(await rpc(ana, "SendStreamingMessage", message("do more")))) > 1
            assert await gate.stop() == 0
            check_books(gate.records())


@pytest.mark.requirement("a2a.grpc-agents", "a2a.skills-as-tools")
async def test_its_skills_are_tools_under_a_budget_like_those_of_any_agent(tmp_path: Path) -> None:
    money = "budgets:\n  - {name: money, scope: agent, unit: micros, limit: 15, window: total}\n"
    async with (
        grpc_agent() as agent,
        agents_behind(tmp_path, [agent.entry("worker", ", as_tools: true, price_micros: 7")], money) as running,
        caller(running, "planner", "/mcp") as ana,
    ):
        with anyio.fail_after(60):
            done = [await call(ana, "worker__draft", {"message": f"do draft {n}"}) for n in range(3)]
        assert [one.get("result", {}).get("content", [{}])[0].get("text") for one in done[:2]] == ["draft 0", "draft 1"]
        assert (list(done[2])[-1], "money" in str(done[2]["error"]), len(agent.metadata)) == ("error", True, 2)
        check_books(await running.settled())


def reached(more: dict[str, Any], *interfaces: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return URL, binding and tenant of each way to an agent whose card names these interfaces."""
    entry = A2aUpstream.model_validate({"kind": "a2a", "url": "https://agent.example:50051/base", **more})
    found = targets_of(entry, cards.parse(card("", supportedInterfaces=interfaces)))
    return [(one.url, one.dialect.binding, one.tenant) for one in found]


@pytest.mark.requirement("a2a.grpc-agents")
def test_grpc_is_spoken_where_it_is_asked_for_or_nothing_else_is_offered() -> None:
    plain = {"url": "https://elsewhere.example/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    over = {"url": "inside.example:1", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "north"}
    way = [(f"https://agent.example:50051{GRPC_PATH}", "JSONRPC", "north")]
    assert reached({}, over) == way
    assert [url for url, _, _ in reached({}, over, plain)] == ["https://agent.example:50051/rpc"]
    assert reached({"binding": "grpc"}, plain, over) == way
    assert reached({"binding": "grpc"}, plain) == []
    assert reached({}, plain | {"url": f"https://agent.example{GRPC_PATH}"}) == []  # no card chooses it by a path
    assert reached({"binding": "jsonrpc"}, over) == reached({"version": "0.3"}, over) == []
    assert reached({}, over | {"protocolVersion": "0.3"}) == []
    told = {"binding": "grpc", "version": "1.0", "endpoint": "https://agent.example:50051"}
    assert reached(told, plain) == [(way[0][0], "JSONRPC", "")]
    with pytest.raises(ValidationError, match=r"gRPC is spoken in version 1\.0 alone"):
        reached({"binding": "grpc", "version": "0.3"}, over)
