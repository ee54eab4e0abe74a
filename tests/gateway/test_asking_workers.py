"""Two workers and one conversation: what a client answers may reach the worker that did not ask."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitResult

from support.gateways import META, VERSION
from support.mcp_servers import start_http_server
from support.processes import Process, Wire, process
from support.scenes import check_books, of_kind, world

CAPABILITIES: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
CONNECTIONS = 6  # the kernel spreads them over both workers


async def modern(gate: Process, wire: Wire, **more: Any) -> dict[str, Any]:
    """Call the tool that asks, in one round of the modern way."""
    params = {"name": "legacy__book", "arguments": {}, "_meta": {**META, **CAPABILITIES}, **more}
    headers = {
        "authorization": f"Bearer {gate.token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": "legacy__book",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    _, answer = await wire.ask("POST", "/mcp", msgspec.json.encode(body), headers)
    return msgspec.json.decode(answer)["result"]


async def pick(context: Any, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"date": "today"})


@pytest.mark.requirement("mcp.asking.workers", "mcp.asking.paid-once")
async def test_an_answer_finds_its_call_whichever_worker_receives_it(tmp_path: Path) -> None:
    rule = 'tools: {"*": {risk: 1, read_only: true}}'
    purse = (
        f"budgets: [{{name: p, scope: tenant, match: acme, unit: calls, limit: {2 * CONNECTIONS}, window: total}}]\n"
    )
    with anyio.fail_after(120), start_http_server(era="legacy") as server:
        entry = f"  legacy: {{url: '{server.url}', allow_private: true, {rule}}}\n"
        async with process(tmp_path, world([entry], purse), workers=2) as gate:
            await gate.start()
            wires = [await gate.connect() for _ in range(CONNECTIONS)]
            for wire, other in zip(wires, wires[1:] + wires[:1], strict=True):
                asked = await modern(gate, wire)
                assert asked["resultType"] == "input_required"
                responses = {key: {"action": "accept", "content": {"date": "today"}} for key in asked["inputRequests"]}
                got = await modern(gate, other, inputResponses=responses, requestState=asked["requestState"])
                assert got["content"][0]["text"] == "booked today"

            url = f"http://127.0.0.1:{gate.port}/mcp"
            async with httpx2.AsyncClient(headers={"authorization": f"Bearer {gate.token}"}) as http:
                transport = streamable_http_client(url, http_client=http)
                async with Client(transport, mode="legacy", elicitation_callback=pick) as client:
                    calls = [client.call_tool("legacy__book", {}) for _ in range(CONNECTIONS)]
                    told = await asyncio.gather(*calls, return_exceptions=True)
            assert ["booked today" in str(one) for one in told] == [True] * CONNECTIONS, (told, gate.log())
            assert await gate.stop() == 0
            records = gate.records()
            check_books(records)
            assert len(of_kind(records, "decision")) == 3 * CONNECTIONS
            assert list(gate.spent().values()) == [2 * CONNECTIONS]  # two rounds are one call
            assert [record for record in records if record["kind"] == "refusal"] == []
