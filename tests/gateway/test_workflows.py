"""Workflows of an Arazzo description as composite tools: each step is a governed call of its own."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent_gateway.config.load import load
from agent_gateway.mesh.flows import approve_flows, approved_flows, changed_flows, import_flows
from agent_gateway.mesh.folder import ApiFolder
from agent_gateway.mesh.sources import from_path
from agent_gateway.runtime.flow_upstreams import ApprovedApis
from agent_gateway.upstreams.workflows import matches
from gateway_policies.refusal import BadRequest
from support.market import Market, everything, market

SEARCH, ORDER, GET = "search_items_items_get", "create_order_orders_post", "get_order_orders__order_id__get"
DOCUMENT: dict[str, Any] = {
    "arazzo": "1.0.1",
    "info": {"title": "Shopping", "version": "1"},
    "sourceDescriptions": [{"name": "shop", "type": "openapi", "url": "./shop.yaml"}],
    "workflows": [
        {
            "workflowId": "buyCheapest",
            "summary": "Buys the first thing that fits",
            "inputs": {
                "type": "object",
                "properties": {"what": {"type": "string"}, "count": {"type": "integer"}},
                "required": ["what"],
            },
            "steps": [
                {
                    "stepId": "find",
                    "operationId": SEARCH,
                    "parameters": [
                        {"name": "q", "in": "query", "value": "$inputs.what"},
                        {"name": "X-Shop-Key", "in": "header", "value": "stolen"},
                    ],
                    "successCriteria": [
                        {"condition": "$statusCode == 200"},
                        {"context": "$response.body", "condition": "$.items[0]", "type": "jsonpath"},
                        {"context": "$response.header.content-type", "condition": "^application/json", "type": "regex"},
                    ],
                    "outputs": {"sku": "$response.body#/items/0/sku"},
                },
                {
                    "stepId": "buy",
                    "operationPath": "{$sourceDescriptions.shop.url}#/paths/~1orders/post",
                    "requestBody": {
                        "contentType": "application/json",
                        "payload": {"sku": "$steps.find.outputs.sku", "count": 1, "note": "for {$inputs.what}"},
                        "replacements": [{"target": "/count", "value": "$inputs.count"}],
                    },
                    "successCriteria": [{"condition": "$statusCode == 201"}],
                    "outputs": {"order": "$response.body#/id", "note": "$response.body#/note"},
                },
            ],
            "outputs": {"order": "$steps.buy.outputs.order", "note": "$steps.buy.outputs.note"},
        },
        {
            "workflowId": "look",
            "steps": [
                {
                    "stepId": "get",
                    "operationId": GET,
                    "parameters": [{"name": "order_id", "in": "path", "value": 9}],
                    "onFailure": [{"name": "again", "type": "retry", "retryAfter": 0.01, "retryLimit": 2}],
                }
            ],
        },
    ],
}


def shopping(folder: Path, document: dict[str, Any] = DOCUMENT) -> ApiFolder:
    """Import and approve workflows over the shop; return their folder."""
    (folder / "shopping.arazzo.json").write_text(json.dumps(document))
    place = ApiFolder(folder / "mesh/shopping")
    loaded = load(folder / "gateway.yaml")
    entry = loaded.config.upstreams["shopping"]
    apis = ApprovedApis(loaded, entry)  # pyright: ignore[reportArgumentType] - it is what the test has written
    import_flows(place, from_path(folder / "shopping.arazzo.json"), apis)
    approve_flows(place, apis, lambda one: True)
    return place


@asynccontextmanager
async def shopping_market(
    tmp_path: Path, document: dict[str, Any] = DOCUMENT, rules: str = ""
) -> AsyncGenerator[Market]:
    """Run the shop's gateway with workflows that are approved before anything is asked of it."""
    entry = "  shopping: {kind: arazzo, spec: shopping.arazzo.json}\n"
    async with market(tmp_path, f"{rules}{entry}", everything) as here:
        shopping(tmp_path, document)
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        yield here


@pytest.mark.requirement("mesh.arazzo")
async def test_a_workflow_is_one_tool_and_each_of_its_steps_a_governed_call(tmp_path: Path) -> None:
    async with shopping_market(tmp_path) as here:
        (tmp_path / "main.cedar").write_text(
            (tmp_path / "main.cedar").read_text()
            + '@id("buy") permit (principal, action == Action::"call", resource == Tool::"shopping__buy_cheapest");\n'
        )
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        assert "shopping__buy_cheapest" in await here.names()
        answer = await here.call("shopping__buy_cheapest", {"what": "thing 3", "count": 2})
        assert answer["result"]["structuredContent"] == {"order": 1, "note": "for thing 3"}
        assert here.shop.asked == ["search thing 3 None", "create s3"]
        assert here.shop.orders[1]["count"] == 2
        records = await here.gateway.settled()
        made = [one for one in records if one["kind"] == "decision"]
        assert [one["capability"]["name"] for one in made[-3:]] == [
            "shopping__buy_cheapest", f"shop__{SEARCH}", f"shop__{ORDER}",
        ]  # fmt: skip
        whole = made[-3]["call"]
        assert [one.get("parent") for one in made[-3:]] == [None, whole, whole]
        assert {one["trace"].split("-")[1] for one in made[-3:]} == {made[-3]["trace"].split("-")[1]}
        ended = [one for one in records if one["kind"] == "outcome"][-3:]
        assert [(one["capability"], one["status"]) for one in ended] == [
            (f"shop__{SEARCH}", "ok"), (f"shop__{ORDER}", "ok"), ("shopping__buy_cheapest", "ok"),
        ]  # fmt: skip
        assert all(one["charges"] for one in made[-3:])
        found = here.gateway.worker.gateway.snapshot.catalog.entries["shopping__buy_cheapest"].capability
        assert (found.risk, found.read_only) == (4, False)  # of the order, not of the search
        # A step that its policy forbids with these arguments ends the workflow, and says what was done before.
        denied = (await here.call("shopping__buy_cheapest", {"what": "thing 4", "count": 6}))["result"]
        assert denied["isError"] is True
        told = denied["content"][0]["text"]
        assert "the step `buy` was not made" in told
        assert "Carried out: find (200)." in told
        assert here.shop.orders.keys() == {1}
        wrong = await here.call("shopping__buy_cheapest", {"what": 5})
        assert "do not fit" in wrong["error"]["message"]


@pytest.mark.requirement("mesh.arazzo")
async def test_a_workflow_is_unknown_to_those_who_may_not_take_all_of_its_steps(tmp_path: Path) -> None:
    async with shopping_market(tmp_path) as here:
        (tmp_path / "main.cedar").write_text(
            '@id("all") permit (principal, action == Action::"call", resource);\n'
            f'@id("no") forbid (principal, action == Action::"call", resource == Tool::"shop__{ORDER}");\n'
        )
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        names = await here.names()
        assert "shopping__look" in names
        assert "shopping__buy_cheapest" not in names
        hidden = await here.call("shopping__buy_cheapest", {"what": "thing 3"})
        unknown = await here.call("shopping__buy_cheapestt", {"what": "thing 3"})
        assert json.dumps(hidden).replace("buy_cheapest", "x") == json.dumps(unknown).replace("buy_cheapestt", "x")
        assert here.shop.asked == []


async def test_a_workflow_whose_step_nobody_serves_is_not_served(tmp_path: Path) -> None:
    rules = f"    tools: {{{ORDER}: {{hide: true}}}}\n"
    async with shopping_market(tmp_path, rules=rules) as here:
        assert [one for one in await here.names() if one.startswith("shopping")] == ["shopping__look"]
        findings = here.gateway.worker.gateway.snapshot.findings
        assert any("buy_cheapest" in one and "is not served" in one for one in findings)


async def test_a_step_that_fails_is_tried_again_within_its_bounds_and_told(tmp_path: Path) -> None:
    async with shopping_market(tmp_path) as here:
        result = (await here.call("shopping__look", {}))["result"]
        assert result["isError"] is True
        assert result["content"][0]["text"].startswith("the workflow failed: the step `get` failed: the answer is 404.")
        assert "there is no order 9" in result["content"][0]["text"]
        assert here.shop.asked == ["get 9", "get 9", "get 9"]


async def test_budgets_end_a_workflow_that_goes_on_and_on(tmp_path: Path) -> None:
    goes_on = {"name": "on", "type": "goto", "stepId": "find"}
    find = {**DOCUMENT["workflows"][0]["steps"][0], "onSuccess": [goes_on]}
    inputs = {"type": "object", "properties": {"what": {"type": "string"}}}
    loop = {"workflowId": "loop", "inputs": inputs, "steps": [find]}
    async with shopping_market(tmp_path, {**DOCUMENT, "workflows": [loop]}) as here:
        told = (await here.call("shopping__loop", {"what": "thing"}))["result"]["content"][0]["text"]
        assert "the step `find` was not made" in told
        assert len(here.shop.asked) == 19  # of the day's 20 calls the first is the workflow itself
        records = await here.gateway.settled()
        assert [one["status"] for one in records if one["kind"] == "outcome"][-2:] == ["refused", "tool_error"]


async def test_a_changed_workflow_is_held_and_served_as_it_was_approved(tmp_path: Path) -> None:
    async with shopping_market(tmp_path) as here:
        changed = json.loads(json.dumps(DOCUMENT))
        changed["workflows"][1]["steps"][0]["parameters"][0]["value"] = 8
        del changed["workflows"][0]
        (tmp_path / "shopping.arazzo.json").write_text(json.dumps(changed))
        loaded = load(tmp_path / "gateway.yaml")
        apis = ApprovedApis(loaded, loaded.config.upstreams["shopping"])  # pyright: ignore[reportArgumentType]
        folder = ApiFolder(tmp_path / "mesh/shopping")
        import_flows(folder, from_path(tmp_path / "shopping.arazzo.json"), apis)
        changes = changed_flows(folder, apis)
        assert [(one.tool, one.verdict) for one in changes] == [("buy_cheapest", "withdraw"), ("look", "hold")]
        assert await here.gateway.worker.keeper.reload(here.gateway.worker.gateway)
        await here.call("shopping__look", {})
        assert here.shop.asked == ["get 9"] * 3
        (file,) = (folder.path / "sources" / folder.approvals().tools["look"].source / "files").iterdir()
        file.write_text(json.dumps(changed))
        with pytest.raises(BadRequest, match="was changed after it was kept"):
            approved_flows(folder, apis)


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [("^2\\d{2}$", "201", True), ("^2", "404", False), ("(a", "a", False), ("a" * 3000, "a" * 3000, False)],
)
def test_patterns_are_matched_in_linear_time(pattern: str, text: str, *, is_found: bool) -> None:
    assert matches(pattern, text) is is_found
    assert not matches("^(a+)+$", "a" * 9_000 + "b")
