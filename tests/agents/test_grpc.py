"""A2A over gRPC: the SDK's own transport, and calls that are decided, refused and recorded like those over HTTP."""

import importlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.types import a2a_pb2, a2a_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2, status_pb2

from agent_gateway.config.listeners import GrpcListener, Limits
from agent_gateway.listeners.data import DataApp
from agent_gateway.listeners.grpc_front import serving_grpc
from agent_gateway.runtime.worker import working
from support.agent_scenes import POLICY, V1, agents_behind, caller, token_for
from support.agent_servers import AgentServer, start_agent
from support.gateways import PUBLIC_URL, TestGateway
from support.processes import Process, process
from support.raw_upstream import answer, definition, raw_upstream, saying, text
from support.running import free_ports
from support.scenes import check_books, of_kind, world

grpc: Any = importlib.import_module("grpc")  # it has no types

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
repeat = saying(lambda call: answer(call, text(call.arguments["text"])))


@asynccontextmanager
async def served(running: TestGateway, calls: int = 100, body_timeout_s: float = 30) -> AsyncGenerator[Any]:
    """Serve gRPC before a gateway; yield a stub of the SDK's service."""
    [port] = free_ports(1)
    listener, limits = GrpcListener(port=port, calls=calls), Limits(body_bytes=1_000_000, body_timeout_s=body_timeout_s)
    host = PUBLIC_URL.removeprefix("https://")
    async with (
        serving_grpc(running.app, listener, host, limits),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        with anyio.fail_after(60):
            stub: Any = a2a_pb2_grpc.A2AServiceStub(channel)
            stub.wordless = channel.stream_unary("/lf.a2a.v1.A2AService/SendMessage")  # may send no message at all
            yield stub


def said(words: str, tenant: str = "worker", **more: Any) -> a2a_pb2.SendMessageRequest:
    message = {"messageId": words, "role": "ROLE_USER", "parts": [{"text": words}], **more}
    return ParseDict({"tenant": tenant, "message": message}, a2a_pb2.SendMessageRequest())


def bearing(running: TestGateway, agent: str, path: str = "/a2a/worker") -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token_for(running, agent, path)}")]


async def refusal(call: Any) -> tuple[str, str]:
    """Return the status and the reason with which a call is refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status = status_pb2.Status()
        trailing = dict(error.trailing_metadata())
        status.ParseFromString(trailing["grpc-status-details-bin"])
        reasons: list[str] = []
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reasons.append(info.reason)
        return error.code().name, ",".join(reasons)
    raise AssertionError("it was not refused")


@pytest.mark.requirement("a2a.grpc")
async def test_every_operation_is_served_and_governed(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, served(running) as stub:
        ana, ben = bearing(running, "planner"), bearing(running, "twin")
        task = (await stub.SendMessage(said("do it"), metadata=ana)).task
        assert task.artifacts[0].parts[0].text == "it"
        found = [one async for one in stub.SendStreamingMessage(said("do more"), metadata=ana)]
        assert found[0].WhichOneof("payload") == "task"
        assert found[-1].status_update.status.state == a2a_pb2.TASK_STATE_COMPLETED
        named: dict[str, Any] = {"tenant": "worker", "id": task.id}
        got = await stub.GetTask(a2a_pb2.GetTaskRequest(**named), metadata=ana)
        assert got.id == task.id
        listed = await stub.ListTasks(a2a_pb2.ListTasksRequest(tenant="worker", page_size=10), metadata=ana)
        assert {task.id} <= {one.id for one in listed.tasks}
        card = await stub.GetExtendedAgentCard(a2a_pb2.GetExtendedAgentCardRequest(tenant="worker"), metadata=ana)
        assert [skill.id for skill in card.skills] == ["draft", "delete"]
        foreign = await refusal(stub.GetTask(a2a_pb2.GetTaskRequest(**named), metadata=ben))
        unknown = await refusal(stub.GetTask(a2a_pb2.GetTaskRequest(tenant="worker", id="x"), metadata=ben))
        assert foreign == unknown == ("NOT_FOUND", "TASK_NOT_FOUND")
        ended = await refusal(stub.CancelTask(a2a_pb2.CancelTaskRequest(**named), metadata=ana))
        assert ended == ("FAILED_PRECONDITION", "TASK_NOT_CANCELABLE")
        over = stub.SubscribeToTask(a2a_pb2.SubscribeToTaskRequest(**named), metadata=ana)
        assert await refusal(over.read()) == ("FAILED_PRECONDITION", "UNSUPPORTED_OPERATION")
        hook = ParseDict(
            {"tenant": "worker", "taskId": task.id, "url": "https://x.example"}, a2a_pb2.TaskPushNotificationConfig()
        )
        push = await refusal(stub.CreateTaskPushNotificationConfig(hook, metadata=ana))
        assert push == ("FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED")
        records = await running.settled()
        names = [one["operation"] for one in of_kind(records, "decision")]
        assert names[:4] == ["SendMessage", "SendStreamingMessage", "GetTask", "ListTasks"]
        check_books(records)


@pytest.mark.requirement("a2a.grpc")
async def test_who_may_not_is_told_with_a_status(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, served(running) as stub:
        assert (await refusal(stub.SendMessage(said("say x"))))[0] == "UNAUTHENTICATED"
        elsewhere = bearing(running, "planner", "/mcp")
        assert (await refusal(stub.SendMessage(said("say x"), metadata=elsewhere)))[0] == "UNAUTHENTICATED"
        ana = bearing(running, "planner")
        for tenant in ("", "nobody", "../mcp", "worker/skills/nothing"):
            assert (await refusal(stub.SendMessage(said("say x", tenant), metadata=ana)))[0] in (
                "NOT_FOUND", "UNAUTHENTICATED",
            ), tenant  # fmt: skip
        old = [*ana, ("a2a-version", "2.0")]
        assert await refusal(stub.SendMessage(said("say x"), metadata=old)) == (
            "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED",
        )  # fmt: skip
        big = said("say " + "x" * 2_000_000)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SendMessage(big, metadata=ana)
        assert caught.value.code().name == "RESOURCE_EXHAUSTED"


@pytest.mark.requirement("a2a.grpc")
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_what_json_cannot_say_is_the_callers_mistake(tmp_path: Path, worker: AgentServer, number: float) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, served(running) as stub:
        request = said("say x", parts=[{"data": {"odd": 1}}])
        request.message.parts[0].data.struct_value.fields["odd"].number_value = number
        late = a2a_pb2.ListTasksRequest(tenant="worker")
        late.status_timestamp_after.seconds = 10**15
        for call in (stub.SendMessage(request), stub.ListTasks(late), stub.SendStreamingMessage(request).read()):
            assert await refusal(call) == ("INVALID_ARGUMENT", "")


@pytest.mark.requirement("a2a.grpc")
async def test_who_says_nothing_is_not_waited_for(tmp_path: Path, worker: AgentServer) -> None:
    running_agents = agents_behind(tmp_path, [worker.entry("worker")])
    async with running_agents as running, served(running, calls=1, body_timeout_s=1) as stub:
        silent = stub.wordless()
        await silent.wait_for_connection()
        assert await refusal(silent) == ("DEADLINE_EXCEEDED", "")
        empty = stub.wordless()
        await empty.done_writing()
        assert await refusal(empty) == ("INVALID_ARGUMENT", "")
        told = await stub.SendMessage(said("do it"), metadata=bearing(running, "planner"))
        assert told.task.artifacts[0].parts[0].text == "it"


@pytest.mark.requirement("a2a.grpc", "a2a.disconnect")
async def test_who_leaves_a_stream_closes_it_and_the_task_goes_on(tmp_path: Path) -> None:
    with start_agent() as agent:
        async with agents_behind(tmp_path, [agent.entry("worker")]) as running, served(running) as stub:
            ana = bearing(running, "planner")
            stream = stub.SendStreamingMessage(said("wait"), metadata=ana)
            task = (await stream.read()).task
            stream.cancel()
            with anyio.fail_after(30):
                while running.worker.gateway.active.count:
                    await anyio.lowlevel.checkpoint()
            got = await stub.GetTask(a2a_pb2.GetTaskRequest(tenant="worker", id=task.id), metadata=ana)
            assert got.status.state in (a2a_pb2.TASK_STATE_WORKING, a2a_pb2.TASK_STATE_SUBMITTED)


@pytest.mark.requirement("a2a.grpc", "a2a.toolset-agents")
async def test_a_toolset_is_reached_too_and_cards_say_where(tmp_path: Path) -> None:
    more = "toolsets:\n  desk: {agent: {}}\n"
    async with (
        raw_upstream({"echo": repeat}, [definition("echo", TEXT)]) as upstream,
        agents_behind(tmp_path, [upstream.entry()], more) as running,
        served(running) as stub,
    ):
        data = {"tool": "raw__echo", "arguments": {"text": "hi"}}
        request = said("m-1", "desk", parts=[{"data": data}])
        done = await stub.SendMessage(request, metadata=bearing(running, "planner", "/a2a/desk"))
        assert MessageToDict(done)["task"]["artifacts"][0]["parts"] == [{"text": "hi"}]
        check_books(await running.settled())


@pytest.mark.requirement("a2a.grpc")
async def test_a_card_names_address_and_tenant_where_grpc_is_served(tmp_path: Path, worker: AgentServer) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker")]) as running, caller(running, "planner") as ana:
        card = (await ana.get("/a2a/worker/.well-known/agent-card.json", headers=V1)).json()
        assert "GRPC" not in json.dumps(card)
    text_of = (tmp_path / "gateway.yaml").read_text()
    (tmp_path / "gateway.yaml").write_text(
        text_of.replace("listeners:\n", "listeners:\n  grpc: {port: 8099, public_address: 'agents.example:443'}\n", 1)
    )
    async with working(tmp_path / "gateway.yaml") as again:
        running = TestGateway(again, DataApp(again.gateway), tmp_path)
        async with caller(running, "planner") as ana:
            card = (await ana.get("/a2a/worker/.well-known/agent-card.json", headers=V1)).json()
        assert card["supportedInterfaces"][-1] == {
            "url": "agents.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "worker",
        }  # fmt: skip


async def found_by_card(gate: Process, path: str, binding: str, request: a2a_pb2.SendMessageRequest) -> str:
    """Have the SDK's client find an agent by its card, speak to it in a binding, and return what it was told last."""
    bearer = {"authorization": f"Bearer {await gate.fetch_token(path=path)}"}
    async with httpx.AsyncClient(headers=bearer, timeout=60) as http:
        url = f"http://127.0.0.1:{gate.port}{path}"
        card = await A2ACardResolver(http, url).get_agent_card(http_kwargs={"headers": V1})
        settings = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
        )
        client = ClientFactory(settings).create(card)
        context = ClientCallContext(service_parameters=bearer)
        events = [one async for one in client.send_message(request, context=context)]
        await client.close()
    return str(events)


@pytest.mark.requirement("a2a.grpc", "a2a.peers", "a2a.toolset-agents")
async def test_the_sdks_client_speaks_to_agents_and_toolsets_of_a_gateway_in_every_binding(tmp_path: Path) -> None:
    """A gateway process, for its event loop is not the one of tests."""
    [port] = free_ports(1)
    with anyio.fail_after(120), start_agent() as agent:
        entry = agent.entry("worker", ", as_tools: true")
        async with process(tmp_path, world([entry], "toolsets:\n  desk: {agent: {}}\n")) as gate:
            config = tmp_path / "gateway.yaml"
            config.write_text(config.read_text().replace("listeners:\n", f"listeners:\n  grpc: {{port: {port}}}\n", 1))
            (tmp_path / "main.cedar").write_text(POLICY)
            await gate.start()
            for binding in ("GRPC", "JSONRPC", "HTTP+JSON"):
                told = await found_by_card(gate, "/a2a/worker", binding, said(f"do {binding}", ""))
                assert "TASK_STATE_COMPLETED" in told, binding
                data = {"tool": "worker__draft", "arguments": {"message": f"do a draft for {binding}"}}
                told = await found_by_card(gate, "/a2a/desk", binding, said(binding, "", parts=[{"data": data}]))
                assert (f"a draft for {binding}" in told, "TASK_STATE_COMPLETED" in told) == (True, True), told
            assert await gate.stop() == 0
            check_books(gate.records())
