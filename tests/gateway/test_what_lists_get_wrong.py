"""What other gateways get wrong about lists and names, by its number in the study of their issues."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from support.gateways import TestGateway, call, gateway, rpc
from support.raw_http import Peer, raw_server
from support.raw_upstream import DISCOVERED, answer, definition, http, raw_upstream, saying
from support.scenes import FILES, world

OPEN = {**FILES, "main__cedar": 'permit (principal in Tenant::"acme", action, resource);\n'}
EVERYTHING: dict[str, Any] = {**DISCOVERED, "capabilities": {"tools": {}, "prompts": {}, "resources": {}}}


async def everything(gate: TestGateway, method: str, member: str, agent: str = "planner") -> list[dict[str, Any]]:
    """Return the items of every page."""
    found: list[dict[str, Any]] = []
    params: dict[str, object] = {}
    async with gate.client(gate.token(agent)) as client:
        while True:
            page = (await rpc(client, method, params)).json()["result"]
            found += page[member]
            if "nextCursor" not in page:
                return found
            params = {"cursor": page["nextCursor"]}


@pytest.mark.requirement("mcp.tools.list.pagination")
async def test_13_every_page_of_every_upstream_is_listed(tmp_path: Path) -> None:
    lists: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
        "tools/list": ("tools", lambda n: definition(f"t{n}")),
        "prompts/list": ("prompts", lambda n: {"name": f"p{n}"}),
        "resources/list": ("resources", lambda n: {"uri": f"mem://{n}", "name": "r"}),
    }

    async def behave(peer: Peer) -> None:
        while True:
            line, _, body = await peer.request()
            if not line:
                return
            message: Any = msgspec.json.decode(body)
            result: dict[str, Any] = EVERYTHING
            if message["method"] in lists:
                member, item = lists[message["method"]]
                page = int(message["params"].get("cursor") or 0)
                result = {member: [item(page * 2), item(page * 2 + 1)]}
                result |= {"nextCursor": str(page + 1)} if page < 4 else {}
            elif message["method"] == "resources/templates/list":
                result = {"resourceTemplates": []}
            await peer.say(http(msgspec.json.encode({"jsonrpc": "2.0", "id": message["id"], "result": result})))

    async with raw_server(behave) as one, raw_server(behave) as two:
        entries = [
            f"  {n}: {{url: '{s.url()}', allow_private: true, era: modern}}\n" for n, s in (("a", one), ("b", two))
        ]
        with anyio.fail_after(60):
            async with gateway(tmp_path, world(entries, "limits: {page_items: 3}\n"), **OPEN) as gate:
                assert [tool["name"] for tool in await everything(gate, "tools/list", "tools")] == sorted(
                    f"{upstream}__t{n}" for upstream in "ab" for n in range(10)
                )
                assert len(await everything(gate, "prompts/list", "prompts")) == 20
                assert len({one["uri"] for one in await everything(gate, "resources/list", "resources")}) == 20


@pytest.mark.requirement("mcp.raw-json")
async def test_14_schemas_and_metadata_are_not_damaged_and_structured_results_not_emptied(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "name": "odd",
        "inputSchema": {
            "type": "object",
            "definitions": {"d": {"$anchor": "a", "type": "string"}},
            "$defs": {"e": {"$ref": "#/definitions/d"}},
            "properties": {"p": {"$ref": "#/$defs/e", "x-vendor": None}},
        },
        "outputSchema": {"type": "array", "items": {"const": 12345678901234567890}},
        "annotations": {"readOnlyHint": True, "x": None},
        "icons": [{"src": "data:,", "theme": "dark"}],
        "_meta": {"k": {"n": None}},
        "x-unknown": [1, None],
    }
    structured = saying(lambda c: answer(c, {"content": [], "structuredContent": [1, None], "resultType": "complete"}))
    with anyio.fail_after(60):
        async with (
            raw_upstream({"odd": structured}, [odd]) as up,
            gateway(tmp_path, world([up.entry()]), **OPEN) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            assert await everything(gate, "tools/list", "tools") == [{**odd, "name": "raw__odd"}]
            assert (await call(client, "raw__odd"))["result"]["structuredContent"] == [1, None]


@pytest.mark.requirement("mcp.discover-union")
async def test_15_server_info_instructions_and_extensions_are_handed_on(tmp_path: Path) -> None:
    said: dict[str, Any] = {
        **DISCOVERED,
        "capabilities": {"tools": {}, "extensions": {"com.example/x": {"v": None}}},
        "instructions": "First ask for the weather.",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "w", "version": "3", "icons": []}},
    }
    with anyio.fail_after(60):
        async with (
            raw_upstream({}, [definition("t")], {"server/discover": said}) as up,
            gateway(tmp_path, world([up.entry()]), **OPEN) as gate,
            gate.client(gate.token("planner", "/servers/raw/mcp")) as client,
        ):
            result = (await rpc(client, "server/discover", path="/servers/raw/mcp")).json()["result"]
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == {"name": "w", "version": "3", "icons": []}
    assert "First ask for the weather." in result["instructions"]
    assert result["capabilities"]["extensions"] == {"com.example/x": {"v": None}}


@pytest.mark.requirement("mcp.names")
async def test_17_equal_and_long_names_stay_apart_below_64_characters_and_reach_their_own(tmp_path: Path) -> None:
    long = "a" * 100
    names = ["log", "Log", "l0g", long + "1", long + "2", "über"]
    with anyio.fail_after(60):
        async with (
            raw_upstream({}, [definition(name) for name in names]) as one,
            raw_upstream({}, [definition(name) for name in names]) as two,
            gateway(tmp_path, world([one.entry("one"), two.entry("two")]), **OPEN) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            shown = [tool["name"] for tool in await everything(gate, "tools/list", "tools")]
            assert len(set(shown)) == len(shown) == 12
            assert all(len(name) <= 64 and name.isascii() for name in shown)
            for name in shown:
                assert "result" in await call(client, name)
    assert sorted(call.name for call in one.calls) == sorted(call.name for call in two.calls) == sorted(names)


@pytest.mark.requirement("mcp.discover-union")
async def test_19_a_list_is_its_callers_own_whatever_the_upstream_says_of_caches(tmp_path: Path) -> None:
    policy = """
permit (principal == Agent::"planner", action, resource == Tool::"raw__a");
permit (principal == Agent::"twin", action, resource == Tool::"raw__b");
"""
    public: dict[str, Any] = {"tools": [definition("a"), definition("b")], "ttlMs": 60_000, "cacheScope": "public"}
    with anyio.fail_after(60):
        async with (
            raw_upstream({}, replies={"tools/list": public}) as up,
            gateway(tmp_path, world([up.entry()]), **{**FILES, "main__cedar": policy}) as gate,
        ):
            for _ in range(2):
                for agent, own in (("planner", ["raw__a"]), ("twin", ["raw__b"]), ("spy", [])):
                    listed = await everything(gate, "tools/list", "tools", agent)
                    assert [tool["name"] for tool in listed] == own
            async with gate.client(gate.token("planner")) as client:
                response = await rpc(client, "tools/list")
    assert (response.json()["result"]["cacheScope"], response.json()["result"]["ttlMs"]) == ("private", 60_000)
    assert response.headers["cache-control"] == "no-store"
