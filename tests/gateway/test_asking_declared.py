"""What a legacy server asks without looking, and how a client gets on with its answer."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest

from support.asker import ELICIT, Asker, asker
from support.gateways import META, VERSION, gateway
from support.legacy_client import initialize, legacy_body, legacy_headers
from support.processes import process
from support.raw_upstream import Gate, raw_upstream
from support.scenes import FILES, check_books, of_kind, world

SAMPLE: dict[str, Any] = {"messages": [], "maxTokens": 1}
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "date": ("elicitation/create", ELICIT),
    "think": ("sampling/createMessage", SAMPLE),
    "easy": ("roots/list", {}),
}


async def modern(client: httpx2.AsyncClient, name: str, capabilities: dict[str, Any]) -> httpx2.Response:
    """Call a tool as a modern client that declares these capabilities."""
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": capabilities}
    params = {"name": name, "arguments": {}, "_meta": meta}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/call",
        "mcp-name": name,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return await client.post("/mcp", content=msgspec.json.encode(body), headers=headers)


@pytest.mark.requirement("mcp.asking.required")
@pytest.mark.parametrize(
    ("tool", "capabilities", "needed"),
    [
        ("date", {}, {"elicitation": {}}),
        ("date", {"sampling": {}}, {"elicitation": {}}),
        ("think", {}, {"sampling": {}}),
        ("think", {"elicitation": {}, "roots": {}}, {"sampling": {}}),
    ],
)
async def test_a_call_that_fails_for_want_of_a_capability_says_which(
    tmp_path: Path, tool: str, capabilities: dict[str, Any], needed: dict[str, Any]
) -> None:
    with anyio.fail_after(60):
        async with (
            asker(tools=ASKS) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner")) as client,
        ):
            refused = await modern(client, f"asker__{tool}", capabilities)
            assert refused.status_code == 400
            error = refused.json()["error"]
            assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": needed})
            check_books(await front.settled())


@pytest.mark.requirement("mcp.asking.required")
async def test_a_call_that_succeeds_without_an_answer_is_answered(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with (
            asker(tools=ASKS, shrugs=frozenset({"easy"})) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner")) as client,
        ):
            answered = await modern(client, "asker__easy", {})
            assert answered.status_code == 200
            assert answered.json()["result"]["isError"] is False
            session = await initialize(client)
            told = await client.post(
                "/mcp",
                content=legacy_body("tools/call", {"name": "asker__date", "arguments": {}}),
                headers={**legacy_headers(session), "accept": "application/json"},
            )
            assert told.json()["result"]["isError"] is True  # the handshake era has no such code


async def asked_of(lines: AsyncIterator[str]) -> dict[str, Any]:
    """Return the first request on a stream."""
    async for line in lines:
        if line.startswith("data: {") and '"method":"elicitation/create"' in line:
            return msgspec.json.decode(line[6:])
    raise AssertionError("nothing was asked")


def note(method: str, params: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


async def heard(up: Asker, method: str) -> dict[str, Any]:
    """Wait until the server hears this notification, and return its params."""
    while True:
        for message in up.heard:
            if message.get("method") == method:
                return message["params"]
        up.came.clear()
        await up.came.wait()


@pytest.mark.requirement("mcp.asking.progress")
async def test_a_client_s_progress_with_a_question_reaches_the_server_that_asked(tmp_path: Path) -> None:
    question = {**ELICIT, "_meta": {"progressToken": "theirs", "kept": 1}}
    with anyio.fail_after(60):
        async with (
            asker(tools={"date": ("elicitation/create", question)}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner")) as client,
            front.client(front.token("twin")) as other,
        ):
            hello: dict[str, Any] = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"elicitation": {}},
                "clientInfo": {"name": "test", "version": "1"},
            }
            plain = {"content-type": "application/json", "accept": "application/json"}
            opened = await client.post("/mcp", content=legacy_body("initialize", hello), headers=plain)
            headers = legacy_headers(opened.headers["mcp-session-id"])
            foreign = legacy_headers(await initialize(other))
            body = legacy_body("tools/call", {"name": "asker__date", "arguments": {}}, 5)
            async with client.stream("POST", "/mcp", content=body, headers=headers) as response:
                lines = response.aiter_lines()
                asked = await asked_of(lines)
                token = asked["params"]["_meta"]["progressToken"]
                assert asked["params"]["_meta"]["kept"] == 1
                assert "theirs" not in (token, asked["id"])
                for who, by, named, at in (
                    (other, foreign, token, 1),
                    (client, headers, "theirs", 2),
                    (client, headers, 7, 3),
                    (client, headers, token, 4),
                ):
                    params = {"progressToken": named, "progress": at, "message": "thinking"}
                    told = await who.post("/mcp", content=note("notifications/progress", params), headers=by)
                    assert told.status_code == 202
                assert await heard(up, "notifications/progress") == {
                    "progressToken": "theirs", "progress": 4, "message": "thinking",
                }  # fmt: skip
                reply = {
                    "jsonrpc": "2.0",
                    "id": asked["id"],
                    "result": {"action": "accept", "content": {"date": "now"}},
                }
                assert (
                    await client.post("/mcp", content=msgspec.json.encode(reply), headers=headers)
                ).status_code == 202
                assert "now" in "".join([line async for line in lines])
            late = note("notifications/progress", {"progressToken": token, "progress": 9})
            assert (await client.post("/mcp", content=late, headers=headers)).status_code == 202
            assert [one["params"]["progress"] for one in up.heard if "progress" in str(one.get("method"))] == [4]
            check_books(await front.settled())


@pytest.mark.requirement("mcp.cancel.workers")
async def test_a_cancel_finds_its_call_whichever_worker_receives_it(tmp_path: Path) -> None:
    count = 6  # connections: the kernel spreads them over both workers
    with anyio.fail_after(120):
        gates = {f"slow{number}": Gate() for number in range(count)}
        async with raw_upstream(gates) as up, process(tmp_path, world([up.entry()]), workers=2) as gate:
            await gate.start()
            wires = [await gate.connect() for _ in range(count)]
            bearer = {"authorization": f"Bearer {gate.token}"}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gate.port}", headers=bearer) as client:
                headers = legacy_headers(await initialize(client)) | bearer
                for number, wire in enumerate(wires):
                    body = legacy_body("tools/call", {"name": f"raw__slow{number}", "arguments": {}}, number)
                    async with client.stream("POST", "/mcp", content=body, headers=headers):
                        await gates[f"slow{number}"].reached.wait()
                        cancel = note("notifications/cancelled", {"requestId": number})
                        assert (await wire.ask("POST", "/mcp", cancel, headers))[0] == 202
                        await gates[f"slow{number}"].left.wait()
            assert await gate.stop() == 0
            outcomes = of_kind(gate.records(), "outcome")
            assert [one["status"] for one in outcomes] == ["cancelled"] * count
            check_books(gate.records())
