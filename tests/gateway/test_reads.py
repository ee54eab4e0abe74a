"""Prompts, resources and completions: every client era, every upstream era, one governed way."""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    GetPromptResult,
    PromptReference,
    ReadResourceResult,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

from support.gateways import PUBLIC_URL, TestGateway, gateway, rpc
from support.legacy_client import initialize, legacy_answer
from support.mcp_servers import CATALOG, HttpServer, server_command, start_http_server
from support.raw_upstream import DISCOVERED, RawUpstream, raw_upstream
from support.scenes import FILES, check_books, of_kind, world

Mode = Literal["auto", "legacy", "2026-07-28"]
MODES: tuple[Mode, ...] = ("auto", "legacy", "2026-07-28")
OPEN = {
    **FILES,
    "main__cedar": """
@id("all") permit (principal in Tenant::"acme", action, resource);
@id("no-secrets") @reason("secrets are not for acme")
forbid (principal, action in [Action::"get", Action::"read"], resource)
when { context.args has uri && context.args.uri like "*secret*" };
@id("one-topic") forbid (principal, action == Action::"get", resource)
when { context.args has topic && context.args.topic == "war" };
@id("no-drafts") forbid (principal, action, resource) when { resource.tags.contains("draft") };
""",
}


@pytest.fixture(scope="module")
def servers() -> Generator[dict[str, HttpServer]]:
    with ExitStack() as stack:
        yield {
            "modern": stack.enter_context(start_http_server(era="modern", program=CATALOG)),
            "legacy": stack.enter_context(start_http_server(era="legacy", program=CATALOG)),
        }


@asynccontextmanager
async def sdk(gate: TestGateway, mode: Mode, path: str = "/mcp") -> AsyncGenerator[Client]:
    async with gate.client(gate.token("planner", path)) as http_client:
        transport = streamable_http_client(f"{PUBLIC_URL}{path}", http_client=http_client)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.requirement("mcp.prompts", "mcp.resources", "mcp.completion")
async def test_every_client_reads_every_upstream(tmp_path: Path, servers: dict[str, HttpServer]) -> None:
    entries = [f"  {name}: {{url: '{one.url}', allow_private: true}}\n" for name, one in servers.items()]
    entries.append(f"  stdio: {{command: {msgspec.json.encode(server_command(program=CATALOG)).decode()}}}\n")
    with anyio.fail_after(120):
        async with gateway(tmp_path, world(entries), **OPEN) as gate:
            for mode in MODES:
                async with sdk(gate, mode) as client:
                    prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
                    assert prompts == ["legacy__review", "modern__review", "stdio__review"]
                    uris = [one.uri for one in (await client.list_resources()).resources]
                    assert uris == ["gw+legacy+notes://index", "gw+stdio+notes://index", "notes://index"]
                    for name, prefix in (("modern", ""), ("legacy", "gw+legacy+"), ("stdio", "gw+stdio+")):
                        await reads_all(client, name, prefix)
            for name in ("modern", "legacy", "stdio"):
                for mode in MODES:
                    async with sdk(gate, mode, f"/servers/{name}/mcp") as client:
                        await reads_all(client, "", "")
                        if mode == "2026-07-28":
                            continue  # this client asks for nothing before its first call
                        assert client.server_capabilities.completions is not None
                        assert client.server_info is not None
                        assert (client.server_info.name, client.server_info.version) == ("sdk-catalog", "4.5.6")
                        assert "read the notes first" in (client.instructions or "")
            records = await gate.settled()
    check_books(records)
    said = {(one["action"], one["operation"], one["capability"]["kind"]) for one in of_kind(records, "decision")}
    assert said == {
        ("get", "prompts/get", "prompt"),
        ("read", "resources/read", "resource"),
        ("complete", "completion/complete", "prompt"),
        ("complete", "completion/complete", "resource"),
    }


async def reads_all(client: Client, upstream: str, prefix: str) -> None:
    """Use everything that the catalogue server has, under the names of one endpoint."""
    name = f"{upstream}__review" if upstream else "review"
    prompt = await client.get_prompt(name, {"topic": "cedar"})
    assert isinstance(prompt, GetPromptResult)
    assert prompt.messages[0].content == TextContent(type="text", text="Review cedar, and be kind.")
    for uri, text in (("notes://index", "cedar\ncedilla\nmerkle"), ("notes://topic/merkle", "All about merkle")):
        read = await client.read_resource(prefix + uri)
        assert isinstance(read, ReadResourceResult)
        assert isinstance(read.contents[0], TextResourceContents)
        assert (read.contents[0].uri, read.contents[0].text) == (prefix + uri, text)
    templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
    assert prefix + "notes://topic/{name}" in templates
    for ref in (
        PromptReference(type="ref/prompt", name=name),
        ResourceTemplateReference(type="ref/resource", uri=prefix + "notes://topic/{name}"),
    ):
        completed = await client.complete(ref, {"name": "topic", "value": "ced"})
        assert completed.completion.values == ["cedar", "cedilla", ref.type]


# --- on bytes --------------------------------------------------------------------------------

CAPABILITIES: dict[str, Any] = {
    "tools": {},
    "prompts": {},
    "resources": {"subscribe": True},
    "completions": {},
    "extensions": {"com.example/x": {"n": None}, "io.modelcontextprotocol/ui": {}},
}
REPLIES: dict[str, object] = {
    "server/discover": {
        "supportedVersions": ["2026-07-28"],
        "capabilities": CAPABILITIES,
        "instructions": "hear the raw one",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "raw", "version": "9"}},
    },
    "prompts/list": {"prompts": [{"name": "ask", "arguments": [{"name": "topic"}]}, {"name": "draft"}]},
    "resources/list": {
        "resources": [{"uri": "mem://a", "name": "a"}, {"uri": "mem://secret", "name": "s"}],
        "ttlMs": 60_000,
        "cacheScope": "public",
    },
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "mem://{id}", "name": "t"}]},
    "prompts/get": b'{"resultType":"complete","messages":[{"role":"user",'
    b'"content":{"type":"text","text":"hm","n":10000000000000000000000}}]}',
    "resources/read": b'{"resultType":"complete","ttlMs":5,"cacheScope":"public",'
    b'"contents":[{"uri":"mem://a","text":"A","x":null}]}',
    "completion/complete": b'{"resultType":"complete","completion":{"values":["v"]},"y":1.0}',
}
HIDING = ', prompts: {draft: {tags: [draft]}}, resources: {"mem://hidden": {hide: true}}'


@asynccontextmanager
async def raw_world(
    folder: Path, more: str = "", replies: dict[str, object] | None = None
) -> AsyncGenerator[tuple[TestGateway, RawUpstream]]:
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo_nothing}, replies=replies or REPLIES) as up,
            gateway(folder, world([up.entry("raw", HIDING)], more), **OPEN) as gate,
        ):
            yield gate, up


async def echo_nothing(call: Any) -> None:
    raise AssertionError(f"no tool is called here: {call.name}")


async def asked(gate: TestGateway, method: str, params: Mapping[str, object], era: str = "modern") -> dict[str, Any]:
    """Return the JSON-RPC answer to one request of the planner's."""
    async with gate.client(gate.token("planner")) as client:
        if era == "modern":
            return (await rpc(client, method, params)).json()
        session = await initialize(client)
        return await legacy_answer(client, session, method, params)


@pytest.mark.requirement("mcp.raw-json", "mcp.resources")
async def test_what_an_upstream_says_passes_unread_and_is_private_to_the_caller(tmp_path: Path) -> None:
    async with raw_world(tmp_path) as (gate, up), gate.client(gate.token("planner")) as client:
        got = await rpc(client, "prompts/get", {"name": "raw__ask", "arguments": {"topic": "x"}, "z": None})
        assert b'"content":{"type":"text","text":"hm","n":10000000000000000000000}' in got.content
        read = await rpc(client, "resources/read", {"uri": "mem://a"})
        assert b'"contents":[{"uri":"mem://a","text":"A","x":null}]' in read.content
        assert (read.json()["result"]["cacheScope"], read.json()["result"]["ttlMs"]) == ("private", 5)
        done = await rpc(
            client,
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "raw__ask", "k": 1}, "argument": {"name": "topic", "value": ""}},
        )
        assert b'"y":1.0' in done.content
        listed = (await rpc(client, "resources/list")).json()["result"]
        assert (listed["ttlMs"], listed["cacheScope"]) == (60_000, "private")
    sent = {orjson.loads(one.split(b"\n")[-1])["method"]: one for one in up.heard if one.endswith(b"}")}
    assert b"mcp-name: ask\n" in sent["prompts/get"]
    assert b'"z":null' in sent["prompts/get"]
    assert b"mcp-name: mem://a\n" in sent["resources/read"]
    ref = orjson.loads(sent["completion/complete"].split(b"\n")[-1])["params"]["ref"]
    assert ref == {"type": "ref/prompt", "name": "ask", "k": 1}


@pytest.mark.requirement("mcp.resources")
@pytest.mark.parametrize(("era", "code"), [("modern", -32602), ("legacy", -32002)])
async def test_a_resource_that_is_not_there_is_said_to_be_so_in_the_words_of_the_era(
    tmp_path: Path, era: str, code: int
) -> None:
    replies = REPLIES | {"resources/read": {"error": {"code": -32602, "message": "no", "data": {"uri": "mem://gone"}}}}
    async with raw_world(tmp_path, replies=replies) as (gate, _):
        theirs = (await asked(gate, "resources/read", {"uri": "mem://gone"}, era))["error"]
        assert (theirs["code"], theirs["data"]) == (code, {"uri": "mem://gone"})
        for uri in ("mem://hidden/../a", "mem://" + "x" * 3000):
            ours = (await asked(gate, "resources/read", {"uri": uri}, era))["error"]
            assert (ours["code"], ours["data"]["uri"]) == (code, uri)


@pytest.mark.requirement("policy.every-kind")
async def test_policies_decide_on_prompts_and_uris_and_what_is_hidden_is_unknown(tmp_path: Path) -> None:
    async with raw_world(tmp_path) as (gate, up):
        names = [one["name"] for one in (await asked(gate, "prompts/list", {}))["result"]["prompts"]]
        assert names == ["raw__ask"]
        hidden = await asked(gate, "prompts/get", {"name": "raw__draft"})
        unknown = await asked(gate, "prompts/get", {"name": "raw__drift"})
        assert hidden["error"]["message"] == unknown["error"]["message"].replace("drift", "draft")
        assert hidden["error"]["data"] == unknown["error"]["data"]
        completed = await asked(
            gate, "completion/complete", {"ref": {"type": "ref/prompt", "name": "raw__draft"}, "argument": {}}
        )
        assert completed["error"]["message"] == hidden["error"]["message"]
        refused = [
            await asked(gate, "resources/read", {"uri": "mem://secret"}),
            await asked(gate, "resources/read", {"uri": "mem://my-secret"}),
            await asked(gate, "prompts/get", {"name": "raw__ask", "arguments": {"topic": "war"}}),
        ]
        assert [one["error"]["code"] for one in refused] == [-32003, -32003, -32003]
        assert "secrets are not for acme" in refused[0]["error"]["message"]
        records = await gate.settled()
    assert not any(b"resources/read" in one or b"prompts/get" in one for one in up.heard)
    check_books(records)
    denied = [one["capability"]["name"] for one in records if one["kind"] == "decision" and one["effect"] == "forbid"]
    assert denied == ["raw__draft", "raw__draft", "mem://secret", "mem://{id}", "raw__ask"]


@pytest.mark.requirement("budgets.every-kind")
async def test_a_budget_counts_prompts_and_resources_too(tmp_path: Path) -> None:
    budget = "budgets: [{name: reads, scope: capability, match: '*', unit: calls, limit: 1, window: total}]\n"
    async with raw_world(tmp_path, budget) as (gate, _):
        for params in ({"uri": "mem://a"}, {"uri": "mem://b"}):
            assert "result" in await asked(gate, "resources/read", params)
            assert (await asked(gate, "resources/read", params))["error"]["code"] == -32006
        assert "result" in await asked(gate, "prompts/get", {"name": "raw__ask"})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("prompts/get", {}),
        ("prompts/get", {"name": 7}),
        ("prompts/get", {"name": "raw__ask", "arguments": []}),
        ("resources/read", {}),
        ("resources/read", {"uri": ["mem://a"]}),
        ("completion/complete", {}),
        ("completion/complete", {"ref": "raw__ask"}),
        ("completion/complete", {"ref": {"type": "ref/tool", "name": "raw__echo"}}),
        ("completion/complete", {"ref": {"type": "ref/prompt"}}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "mem://none"}}),
    ],
)
async def test_what_names_nothing_is_invalid_and_reaches_nobody(
    tmp_path: Path, method: str, params: dict[str, object]
) -> None:
    async with raw_world(tmp_path) as (gate, up):
        for era in ("modern", "legacy"):
            assert (await asked(gate, method, params, era))["error"]["code"] in (-32602, -32002, -32020)
    assert not any(b"/get" in one or b"/read" in one or b"completion" in one for one in up.heard)


@pytest.mark.requirement("mcp.discover-union")
async def test_an_endpoint_declares_what_its_visible_upstreams_do_and_names_no_other(tmp_path: Path) -> None:
    quiet: dict[str, object] = {"server/discover": {**DISCOVERED, "instructions": "hear the hidden one"}}
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo_nothing}, replies=REPLIES) as up,
            raw_upstream({"echo": echo_nothing}, replies=quiet) as hidden,
            gateway(
                tmp_path, world([up.entry("raw", HIDING), hidden.entry("hidden", ", tags: [draft]")]), **OPEN
            ) as gate,
        ):
            said = (await asked(gate, "server/discover", {}))["result"]
            async with gate.client(gate.token("spy")) as client:
                spied = (await rpc(client, "server/discover")).json()["result"]
            async with gate.client(gate.token("planner")) as client:
                opened = await client.post(
                    "/mcp",
                    json={
                        "jsonrpc": "2.0",
                        "id": 1,
                        "method": "initialize",
                        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t"}},
                    },
                    headers={"accept": "application/json, text/event-stream"},
                )
    declared = {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True},
        "completions": {},
        "extensions": {"com.example/x": {"n": None}, "io.modelcontextprotocol/ui": {}},
    }
    assert {**said["capabilities"], "resources": {"listChanged": True}} == declared
    assert "hear the raw one" in said["instructions"]
    assert "hidden" not in said["instructions"]
    assert spied["capabilities"] == {"tools": {"listChanged": True}}
    assert "raw" not in spied["instructions"]
    result = opened.json()["result"]
    assert {**result["capabilities"], "resources": {"listChanged": True}} == declared
    assert result["serverInfo"]["name"] == "agent-gateway"
