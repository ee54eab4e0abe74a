"""An agent's skills as MCP tools: the same policies, budgets and chains."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult, TextContent
from msgspec import Raw

from agent_gateway.ports import UpstreamRequest
from agent_gateway.upstreams.agent_outcome import MAX_RESULT_BYTES
from support.agent_scenes import POLICY, agents_behind, caller
from support.agent_servers import AgentServer
from support.gateways import PUBLIC_URL, call, rpc
from support.principals import ALICE
from support.raw_agent import STREAM, card, http, raw_agent, saying
from support.scenes import check_books, of_kind

AS_TOOLS = ", as_tools: true"


async def tool(client: httpx2.AsyncClient, name: str, text: str, **more: object) -> dict[str, Any]:
    answer = await call(client, f"worker__{name}", {"message": text, **more})
    found: dict[str, Any] = answer.get("result", answer)
    return found


def text_of(result: dict[str, Any]) -> str:
    return "\n".join(block["text"] for block in result["content"])


@pytest.mark.requirement("a2a.skills-as-tools")
@pytest.mark.parametrize("agent", ["new_worker", "old_worker"])
async def test_skills_are_tools_of_the_agents_own(tmp_path: Path, request: pytest.FixtureRequest, agent: str) -> None:
    server: AgentServer = request.getfixturevalue(agent)
    entry = server.entry("worker", f"{AS_TOOLS}, price_micros: 7, skills: {{delete: {{hide: true}}}}")
    money = "budgets:\n  - {name: money, scope: agent, unit: micros, limit: 100, window: total}\n"
    async with agents_behind(tmp_path, [entry], money) as running, caller(running, "planner", "/mcp") as ana:
        listed = (await rpc(ana, "tools/list")).json()["result"]["tools"]
        assert [one["name"] for one in listed] == ["worker__ask", "worker__draft"]
        assert str(server.port) not in str(listed)
        done = await tool(ana, "draft", "do a draft")
        assert (text_of(done), done["isError"]) == ("a draft", False)
        assert '"skillId":"draft"' in server.seen()[-1]["body"].replace(" ", "")
        assert text_of(await tool(ana, "ask", "say hello")) == "hello"
        failed = await tool(ana, "ask", "fail")
        assert (failed["isError"], text_of(failed)) == (True, "it went wrong")
        unsure = await tool(ana, "ask", "ask me")
        assert (unsure["isError"], text_of(unsure)) == (True, "more, please")
        bad = await call(ana, "worker__draft", {"text": 1})
        assert bad["error"]["code"] == -32602
        records = await running.settled()
        charged = [charge for one in of_kind(records, "decision") for charge in one["charges"]]
        assert [amount for _, _, amount in charged] == [7, 7, 7, 7]
        assert {one["action"] for one in of_kind(records, "decision")} == {"call"}
        check_books(records)


@pytest.mark.requirement("a2a.skills-as-tools")
async def test_policies_on_tools_hold_for_them(tmp_path: Path, worker: AgentServer) -> None:
    policy = POLICY + '@id("no") forbid (principal, action, resource == Tool::"worker__delete");\n'
    entry = worker.entry("worker", AS_TOOLS)
    async with agents_behind(tmp_path, [entry], policy=policy) as running, caller(running, "planner", "/mcp") as ana:
        names = [one["name"] for one in (await rpc(ana, "tools/list")).json()["result"]["tools"]]
        assert names == ["worker__ask", "worker__draft"]
        hidden = await call(ana, "worker__delete", {"message": "x"})
        unknown = await call(ana, "worker__nothing", {"message": "x"})
        assert hidden["error"]["message"].replace("delete", "nothing") == unknown["error"]["message"]


@dataclass
class Hearing:
    """A caller that keeps what it was told."""

    told: list[str] = field(default_factory=list[str])

    async def notify(self, method: str, params: Raw | None) -> None:
        self.told.append(f"{method} {orjson.loads(bytes(params or b'{}')).get('message')}")

    async def ask(self, method: str, params: Raw | None, progressed: object = None) -> Raw:
        raise AssertionError(method)


@pytest.mark.requirement("a2a.skills-as-tools")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"action":"accept","content":{"answer":"do the rest"}}', "the rest"),
        (b'{"action":"decline"}', "more, please"),
        (b'{"action":"accept","content":7}', "more, please"),
    ],
)
async def test_what_the_agent_wants_to_know_is_put_to_the_caller(
    tmp_path: Path, worker: AgentServer, answer: bytes, said: str
) -> None:
    async with agents_behind(tmp_path, [worker.entry("worker", AS_TOOLS)]) as running:
        upstream, sink = running.worker.gateway.snapshot.upstreams["worker"], Hearing()
        params = {"name": Raw(b'"ask"'), "arguments": Raw(b'{"message":"ask me"}')}
        declared = Raw(b'{"elicitation":{}}')
        asking = UpstreamRequest(
            "tools/call", params, ALICE, timeout_s=60, wants_progress=True, client_capabilities=declared
        )
        asked = orjson.loads(bytes((await upstream.request(asking, sink)).result or b""))
        assert asked["inputRequests"]["answer"]["params"]["message"] == "more, please"
        state = Raw(orjson.dumps(asked["requestState"]))
        going_on = params | {"requestState": state, "inputResponses": Raw(b'{"answer":%b}' % answer)}
        done = await upstream.request(replace(asking, params=going_on), sink)
        assert text_of(orjson.loads(bytes(done.result or b""))) == said
        assert "notifications/progress working" in sink.told


@pytest.mark.requirement("a2a.skills-as-tools")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_clients_of_both_eras_are_asked(
    tmp_path: Path, worker: AgentServer, mode: Literal["legacy", "2026-07-28"]
) -> None:
    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        del context
        return ElicitResult(action="accept", content={"answer": f"do {params.message}"})

    async with (
        agents_behind(tmp_path, [worker.entry("worker", AS_TOOLS)]) as running,
        caller(running, "planner", "/mcp") as ana,
        Client(
            streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=ana), mode=mode, elicitation_callback=answer
        ) as client,
    ):
        result = await client.call_tool("worker__ask", {"message": "ask me"})
        assert [block.text for block in result.content if isinstance(block, TextContent)] == ["more, please"]
        assert not result.is_error
        check_books(await running.settled())


@pytest.mark.requirement("a2a.loops")
async def test_a_loop_through_a_tool_is_a_loop(tmp_path: Path, worker: AgentServer) -> None:
    entry = worker.entry("worker", f"{AS_TOOLS}, acts_as: planner")
    async with agents_behind(tmp_path, [entry]) as running, caller(running, "planner", "/mcp") as itself:
        answer = await call(itself, "worker__ask", {"message": "do it"})
        assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "delegation_loop"


async def test_parts_of_every_kind_become_blocks_and_an_agent_that_does_not_wait_is_waited_for(tmp_path: Path) -> None:
    submitted = b'{"task":{"id":"t","contextId":"c","status":{"state":"TASK_STATE_SUBMITTED"}}}'
    done = (
        b'{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"},"artifacts":[{"artifactId":"a","parts":['
        b'{"data":{"n":1}},{"url":"https://x.example/f","filename":"f"},{"raw":"QUJD","mediaType":"text/csv"},'
        b'{"data":[1]}]}]}'
    )

    async def say(asked: Any) -> None:
        result = done if b'"GetTask"' in asked.body else submitted
        await asked.peer.say(http(b'{"jsonrpc":"2.0","id":"gateway","result":%b}' % result))

    async with (
        raw_agent(say) as agent,
        agents_behind(tmp_path, [agent.entry("worker", AS_TOOLS)]) as running,
        caller(running, "planner", "/mcp") as ana,
    ):
        result = await tool(ana, "ask", "x", data={"k": 1})
        assert result["structuredContent"] == {"n": 1}
        assert [block["type"] for block in result["content"]] == ["text", "resource_link", "resource", "text"]
        assert b'{"data":{"k":1}}' in agent.asked[0].body


async def test_an_error_of_the_agent_is_one_of_the_tool(tmp_path: Path) -> None:
    broken = http(b'{"jsonrpc":"2.0","id":"gateway","error":{"code":-32603,"message":"at 127.0.0.1"}}')
    async with (
        raw_agent(saying(broken)) as agent,
        agents_behind(tmp_path, [agent.entry("worker", AS_TOOLS)]) as running,
        caller(running, "planner", "/mcp") as ana,
    ):
        answer = await call(ana, "worker__ask", {"message": "x"})
        assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "upstream_error"
        assert "127.0.0.1" not in str(answer)


async def test_no_two_messages_have_the_same_id(tmp_path: Path) -> None:
    """An agent that knows a message already may answer with the task of whoever sent it first."""
    done = b'{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"}}}}'
    async with (
        raw_agent(saying(http(done)), lambda url: card(url, capabilities={})) as agent,
        agents_behind(tmp_path, [agent.entry("worker", AS_TOOLS)]) as running,
    ):
        upstream = running.worker.gateway.snapshot.upstreams["worker"]
        params = {"name": Raw(b'"ask"'), "arguments": Raw(b'{"message":"x"}')}
        asking = UpstreamRequest("tools/call", params, ALICE, timeout_s=60)
        for _ in range(2):  # the same object: what lies at one place in memory after another
            await upstream.request(asking, Hearing())
        ids = [orjson.loads(one.body)["params"]["message"]["messageId"] for one in agent.asked]
        assert len(set(ids)) == 2


async def test_an_agent_that_never_stops_talking_fills_no_memory(tmp_path: Path) -> None:
    text = b"x" * (512 * 1024)
    said = b'{"jsonrpc":"2.0","id":"gateway","result":{"message":{"messageId":"m","parts":[{"text":"%b"}]}}}' % text
    async with (
        raw_agent(saying(STREAM, *[b"data: %b\n\n" % said] * (1 + MAX_RESULT_BYTES // len(text)))) as agent,
        agents_behind(tmp_path, [agent.entry("worker", AS_TOOLS)]) as running,
        caller(running, "planner", "/mcp") as ana,
    ):
        answer = await tool(ana, "ask", "x")
        assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "upstream_too_large"
        check_books(await running.settled())
