"""A compact endpoint: search, describe and call in place of a long list, for what a caller may see and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.gateways import rpc
from support.market import Market, market

COMPACT = 'toolsets: {few: {include: ["shop__*"], compact: true}}\n'
CREATE = "shop__create_order_orders_post"


async def names(here: Market, path: str) -> list[str]:
    async with here.gateway.client(here.gateway.token("planner", path)) as client:
        return [tool["name"] for tool in (await rpc(client, "tools/list", path=path)).json()["result"]["tools"]]


async def ask(here: Market, name: str, arguments: dict[str, Any], path: str = "/mcp/few") -> dict[str, Any]:
    return await here.call(name, arguments, path)


async def test_three_tools_stand_for_all(tmp_path: Path) -> None:
    async with market(tmp_path, COMPACT) as here:
        assert await names(here, "/mcp/few") == ["search_tools", "describe_tools", "call_tool"]
        assert len(await names(here, "/mcp")) == 4


@pytest.mark.requirement("mesh.search-knows-its-caller")
async def test_a_search_finds_what_the_caller_may_call_with_its_schema(tmp_path: Path) -> None:
    async with market(tmp_path, COMPACT) as here:
        found = (await ask(here, "search_tools", {"query": "search the shop for things"}))["result"][
            "structuredContent"
        ]
        assert found["of"] == 4
        assert found["tools"][0]["name"] == "shop__search_items_items_get"
        assert "limit" in found["tools"][0]["inputSchema"]["properties"]
        hidden = (await ask(here, "search_tools", {"query": "delete order", "limit": 25}))["result"][
            "structuredContent"
        ]
        assert "delete" not in json.dumps(hidden["tools"])


@pytest.mark.requirement("mesh.search-knows-its-caller")
async def test_what_may_not_be_seen_is_described_like_what_does_not_exist(tmp_path: Path) -> None:
    async with market(tmp_path, COMPACT) as here:
        wanted = [CREATE, "shop__delete_order_orders_order_id_delete", "shop__gone"]
        told = (await ask(here, "describe_tools", {"names": wanted}))["result"]["structuredContent"]
        assert [tool["name"] for tool in told["tools"]] == [CREATE]
        assert told["unknown"] == wanted[1:]


@pytest.mark.requirement("mesh.compact-calls-are-calls")
async def test_a_call_is_decided_budgeted_and_recorded_as_the_tool_that_it_names(tmp_path: Path) -> None:
    async with market(tmp_path, COMPACT) as here:
        made = await ask(here, "call_tool", {"name": CREATE, "arguments": {"sku": "s1", "count": 2}})
        assert made["result"]["structuredContent"]["sku"] == "s1"
        denied = await ask(here, "call_tool", {"name": CREATE, "arguments": {"sku": "s1", "count": 6}})
        plain = await ask(here, CREATE, {"sku": "s1", "count": 6})
        assert denied["error"]["code"] == plain["error"]["code"]
        assert denied["error"]["message"] == plain["error"]["message"]
        wrong = await ask(here, "call_tool", {"name": CREATE, "arguments": {"sku": 5, "count": 1}})
        assert "error" in wrong
        for name in ("shop__delete_order_orders_order_id_delete", "shop__gone"):
            answer = await ask(here, "call_tool", {"name": name, "arguments": {"order_id": 1}})
            assert answer["error"]["message"] == f"no tool `{name}` here"
        assert here.shop.orders.keys() == {1}
        records = await here.gateway.settled()
        decided = [one for one in records if one["kind"] == "decision" and one["action"] == "call"]
        assert [one["capability"]["name"] for one in decided][:4] == [CREATE] * 4
        assert decided[0]["charges"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search_tools", {}), ("search_tools", {"query": 5}), ("search_tools", {"query": "x", "limit": "y"}),
        ("search_tools", {"query": ""}), ("describe_tools", {}), ("describe_tools", {"names": "x"}),
        ("describe_tools", {"names": [5]}), ("call_tool", {}), ("call_tool", {"name": 5}),
        ("call_tool", {"name": "x", "arguments": []}), ("call_tool", {"name": "call_tool", "arguments": {}}),
    ],
)  # fmt: skip
async def test_a_mistake_is_told(tmp_path: Path, name: str, arguments: dict[str, Any]) -> None:
    async with market(tmp_path, COMPACT) as here:
        assert (await ask(here, name, arguments))["error"]["code"] == -32602


@pytest.mark.requirement("mesh.lists-have-a-price")
async def test_an_endpoint_is_compact_for_whom_its_list_would_cost_too_much(tmp_path: Path) -> None:
    limits = '{include: ["shop__*"], list_tokens: 100}', '{include: ["shop__*"], list_tokens: 100000}'
    toolsets = f"toolsets: {{cheap: {limits[0]}, dear: {limits[1]}}}\n"
    async with market(tmp_path, toolsets) as here:
        assert await names(here, "/mcp/cheap") == ["search_tools", "describe_tools", "call_tool"]
        assert len(await names(here, "/mcp/dear")) == 4
        found = await ask(here, "search_tools", {"query": "order"}, "/mcp/dear")
        assert found["error"]["message"] == "no tool `search_tools` here"


@pytest.mark.requirement("mesh.lists-have-a-price")
async def test_what_a_list_costs_is_measured_by_agent_and_limited_by_its_entry(tmp_path: Path) -> None:
    toolsets = 'toolsets: {dear: {include: ["shop__*"], list_tokens: 100000}}\n'
    async with market(tmp_path, toolsets) as here:
        whole = await names(here, "/mcp")
        assert len(await names(here, "/mcp/dear")) == 4

        def measured(route: str) -> float:
            told = here.gateway.worker.gateway.services.metrics.render().decode()
            line = f'agent_gateway_list_tokens{{agent="planner",route="{route}",tenant="acme"}} '
            return float(told.partition(line)[2].partition("\n")[0])

        assert measured("mcp") > 300
        text = (tmp_path / "gateway.yaml").read_text()
        (tmp_path / "gateway.yaml").write_text(text.replace("owner: ops,", "owner: ops, list_tokens: 100,"))
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        for path in ("/mcp", "/mcp/dear", "/servers/shop/mcp"):
            assert await names(here, path) == ["search_tools", "describe_tools", "call_tool"]
        assert measured("mcp") < 300
        called = await ask(here, "call_tool", {"name": whole[-1], "arguments": {"q": "thing 3"}}, "/mcp")
        assert called["result"]["structuredContent"]["items"]
