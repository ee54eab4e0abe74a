"""Ids that come back through a client: sessions and cursors open nothing for anyone else, anywhere else."""

from pathlib import Path

import anyio
import httpx2
import pytest

from support.gateways import gateway, rpc
from support.legacy_client import initialize, legacy
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, of_kind, world

LIMITS = "limits: {page_items: 2}\n"


@pytest.mark.requirement("invariant.ids-are-bound")
async def test_a_session_id_works_for_its_principal_at_its_endpoint_until_it_is_ended(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            async with gate.client(gate.token("planner")) as client, gate.client(gate.token("twin")) as other:
                session = await initialize(client)
                assert (await legacy(client, session, "tools/list")).status_code == 200
                before = len(await gate.settled())
                forged = session[:-1] + ("A" if session[-1] != "A" else "B")
                for who, what in ((other, session), (client, forged), (client, "x"), (client, session + "x")):
                    response = await legacy(who, what, "tools/call", {"name": "raw__echo", "arguments": {}})
                    assert (response.status_code, response.json()["error"]["code"]) == (404, -32600)
                async with gate.client(gate.token("planner", "/servers/raw/mcp")) as elsewhere:
                    response = await legacy(
                        elsewhere, session, "tools/call", {"name": "echo", "arguments": {}}, path="/servers/raw/mcp"
                    )
                    assert response.status_code == 404
                assert (await other.delete("/mcp", headers={"mcp-session-id": session})).status_code == 404
                assert (await legacy(client, session, "tools/list")).status_code == 200
                assert (await client.delete("/mcp", headers={"mcp-session-id": session})).status_code == 204
                assert (await legacy(client, session, "tools/list")).status_code == 404
                refusals = of_kind((await gate.settled())[before:], "refusal")
                assert [one["status"] for one in refusals] == [404] * 7
            assert up.calls == []


@pytest.mark.requirement("invariant.ids-are-bound", "mcp.tools.list.pagination")
async def test_a_cursor_works_for_its_principal_at_its_endpoint_only(tmp_path: Path) -> None:
    tools = {f"t{number}": echo for number in range(5)}
    with anyio.fail_after(30):
        async with (
            raw_upstream(tools) as up,
            gateway(tmp_path, world([up.entry()], LIMITS), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
            gate.client(gate.token("twin")) as other,
            gate.client(gate.token("planner", "/servers/raw/mcp")) as elsewhere,
        ):
            names, cursor = await all_pages(client)
            assert names == [f"raw__t{number}" for number in range(5)]
            for who, path in ((other, "/mcp"), (elsewhere, "/servers/raw/mcp")):
                response = await rpc(who, "tools/list", {"cursor": cursor}, path=path)
                assert response.json()["error"]["code"] == -32602
            assert (await rpc(client, "tools/list", {"cursor": cursor})).status_code == 200


async def all_pages(client: httpx2.AsyncClient) -> tuple[list[str], str]:
    """Return every name in order, and the last cursor that was given."""
    names: list[str] = []
    cursor = ""
    while True:
        result = (await rpc(client, "tools/list", {"cursor": cursor} if cursor else None)).json()["result"]
        assert len(result["tools"]) <= 2
        names.extend(tool["name"] for tool in result["tools"])
        if "nextCursor" not in result:
            return names, cursor
        cursor = result["nextCursor"]
