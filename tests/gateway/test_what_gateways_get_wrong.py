"""What other gateways get wrong, by its number in the study of their issues: one test each that a naive proxy fails.

1 is `test_asking`, 12 `test_changes`, 16 `test_bad_upstreams`, 20 `test_mcp_stdio` and `test_oauth`; 13, 14, 15,
17 and 19 are in `test_what_lists_get_wrong`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from support.gateways import META, VERSION, TestGateway, gateway
from support.legacy_client import initialize, legacy, legacy_answer, legacy_body, legacy_headers
from support.mcp_peers import http as answered
from support.mcp_peers import legacy as legacy_peer
from support.mcp_peers import message
from support.raw_http import Peer, raw_server
from support.raw_upstream import Call, answer, raw_upstream, text
from support.scenes import FILES, check_books, of_kind, world
from support.upstreams import FakeClock

CAN_ASK: dict[str, Any] = {"elicitation": {"form": {}}, "x-vendor": {"n": None}}
TOOLS = {"tools": [{"name": "who", "inputSchema": {"type": "object"}}]}
MORE = "limits: {session_idle_s: 60, sessions_per_principal: 5000}\n"


async def modern(client: httpx2.AsyncClient, name: str, number: Any = 1, **more: Any) -> httpx2.Response:
    """Call a tool the modern way, declaring what can be asked."""
    meta: dict[str, Any] = {**META, "io.modelcontextprotocol/clientCapabilities": CAN_ASK}
    params: dict[str, Any] = {"name": name, "arguments": {}, "_meta": meta | more.pop("meta", {}), **more}
    headers = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION, "mcp-method": "tools/call", "mcp-name": name,
    }  # fmt: skip
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return await client.post("/mcp", content=msgspec.json.encode(body), headers=headers)


@pytest.mark.requirement("mcp.asking.bound")
async def test_2_a_round_trip_is_relayed_with_the_clients_capabilities_and_its_state_opens_for_nobody_else(
    tmp_path: Path,
) -> None:
    state = 's"\u00e9\\/' + "x" * 10_000
    asks: dict[str, Any] = {
        "resultType": "input_required",
        "inputRequests": {"k": {"method": "elicitation/create", "params": {"message": "?", "n": None}}},
        "requestState": state,
    }

    async def tool(call: Call) -> None:
        params = call.message["params"]
        done = params.get("requestState") == state and params["inputResponses"] == {
            "k": {"action": "accept", "z": None}
        }
        await call.peer.say(answer(call, text("done") if done else asks))

    with anyio.fail_after(60):
        async with (
            raw_upstream({"ask": tool}) as up,
            gateway(
                tmp_path,
                world(
                    [up.entry()],
                    "budgets: [{name: p, scope: tenant, match: acme, unit: calls, limit: 3, window: total}]\n",
                ),
                **FILES,
            ) as gate,
            gate.client(gate.token("planner")) as client,
            gate.client(gate.token("twin")) as twin,
        ):
            first = (await modern(client, "raw__ask")).json()["result"]
            assert first["inputRequests"] == asks["inputRequests"]
            assert first["requestState"] != state
            declared = up.calls[0].message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
            assert declared == CAN_ASK
            back: dict[str, Any] = {
                "requestState": first["requestState"],
                "inputResponses": {"k": {"action": "accept", "z": None}},
            }
            for thief, name, more in (
                (twin, "raw__ask", back),
                (client, "raw__ask", back | {"arguments": {"other": 1}}),
                (client, "raw__ask", back | {"requestState": back["requestState"][:-2] + "AA"}),
            ):
                refused = (await modern(thief, name, **more)).json()
                assert refused["error"]["code"] == -32602, refused
            assert len(up.calls) == 1
            assert (await modern(client, "raw__ask", 2, **back)).json()["result"]["content"][0]["text"] == "done"
            assert [one["settled"] for one in of_kind(await gate.settled(), "outcome")][1] == []  # paid with the first
            await modern(client, "raw__ask", 3, **back)  # once more is a call of its own
            assert len([one for one in of_kind(await gate.settled(), "outcome") if one["settled"]]) == 2
            check_books(await gate.settled())


@asynccontextmanager
async def legacy_world(
    folder: Path, more: str = "", clock: FakeClock | None = None
) -> AsyncGenerator[tuple[TestGateway, "Legacy"]]:
    """A gateway before one legacy server that remembers everything."""
    up = Legacy()
    with anyio.fail_after(120):
        async with raw_server(up.behave) as server:
            rules = 'tools: {"*": {risk: 1, read_only: true}}'
            entry = f"  raw: {{url: '{server.url()}', allow_private: true, era: legacy, idle_timeout_s: 30, {rules}}}\n"
            async with gateway(folder, world([entry], more), clock or time.time, **FILES) as gate:
                yield gate, up


class Legacy:
    """A server of the handshake era; `who` answers with the session it was called in."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.ended: list[str] = []
        self.hold = asyncio.Event()
        self.reached = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.hold.set()
        self.behave = legacy_peer(self._answer, sessions=self.sessions, seen=self)  # type: ignore[arg-type]

    def append(self, asked: dict[str, Any]) -> None:
        self.seen.append(asked)
        if asked.get("method") == "notifications/cancelled":
            self.cancelled.set()

    def count(self, method: str) -> int:
        return [one.get("method") for one in self.seen].count(method)

    def called(self) -> list[dict[str, Any]]:
        return [one for one in self.seen if one.get("method") == "tools/call"]

    async def _answer(self, peer: Peer, asked: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        if asked["method"] != "tools/call":
            result: Any = TOOLS if asked["method"] == "tools/list" else {}
            await peer.say(answered(message(id=asked["id"], result=result)))
            return
        self.reached.set()
        await self.hold.wait()
        session = headers[b"mcp-session-id"].decode()
        told = {"content": [{"type": "text", "text": session}], "n": asked["params"]["arguments"].get("n")}
        await peer.say(answered(message(id=asked["id"], result=told)))


async def test_3_a_cancellation_reaches_the_right_upstream_under_the_upstreams_own_id(tmp_path: Path) -> None:
    async with legacy_world(tmp_path) as (gate, up), gate.client(gate.token("planner")) as client:
        up.hold.clear()
        session = await initialize(client)
        body = legacy_body("tools/call", {"name": "raw__who", "arguments": {}}, "the-client-s-own")
        call = asyncio.ensure_future(client.post("/mcp", content=body, headers=legacy_headers(session)))
        await up.reached.wait()
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "the-client-s-own"}}
        await client.post("/mcp", content=msgspec.json.encode(notice), headers=legacy_headers(session))
        await up.cancelled.wait()
        [told] = [one for one in up.seen if one.get("method") == "notifications/cancelled"]
        assert told["params"]["requestId"] == up.called()[0]["id"] != "the-client-s-own"
        await call


async def test_4_and_5_two_hundred_callers_with_one_id_and_one_token_get_their_own_answer_and_progress(
    tmp_path: Path,
) -> None:
    seen: list[tuple[Any, Any]] = []

    async def tool(call: Call) -> None:
        params = call.message["params"]
        token = params["_meta"]["progressToken"]
        seen.append((call.id, token))
        progress = {"progressToken": token, "progress": 1, "message": params["arguments"]["n"]}
        events = [
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress},
            {"jsonrpc": "2.0", "id": call.id, "result": text(params["arguments"]["n"])},
        ]
        data = b"".join(b"data: %b\n\n" % msgspec.json.encode(one) for one in events)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        await call.peer.say(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    with anyio.fail_after(120):
        async with (
            raw_upstream({"own": tool}) as up,
            gateway(tmp_path, world([up.entry(more=", max_connections: 64, max_waiting: 500")]), **FILES) as gate,
            gate.client(gate.token("planner")) as one,
            gate.client(gate.token("twin")) as two,
        ):

            async def ask(number: int) -> list[dict[str, Any]]:
                client, word = (one, two)[number % 2], f"word {number}"
                response = await modern(
                    client, "raw__own", 7, arguments={"n": word}, meta={"progressToken": "the-same"}
                )
                lines = [line[5:] for line in response.text.splitlines() if line.startswith("data:")]
                return [msgspec.json.decode(line) for line in lines]

            heard = await asyncio.gather(*(ask(number) for number in range(200)))
            for number, (progress, told) in enumerate(heard):
                assert progress["params"] == {"progressToken": "the-same", "progress": 1, "message": f"word {number}"}
                assert (told["id"], told["result"]["content"][0]["text"]) == (7, f"word {number}")
            assert set(Counter(seen).values()) == {1}
            check_books(await gate.settled())


@pytest.mark.requirement("mcp.sessions.idle")
async def test_6_and_7_a_thousand_sessions_opened_and_left_are_forgotten_here_and_at_the_upstream(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with legacy_world(tmp_path, MORE, clock) as (gate, up), gate.client(gate.token("planner")) as client:
        known, before = gate.worker.gateway.sessions, len(up.sessions)
        sessions: list[str] = []
        for batch in range(10):
            sessions = await asyncio.gather(*(initialize(client) for _ in range(100)))
            assert len(known) == (batch + 1) * 100
            assert (await legacy(client, sessions[0], "tools/call", {"name": "raw__who"})).status_code == 200
        assert len(up.sessions) == before + 1  # one for all of them, whatever is opened here
        clock.now += 61
        known.expire()
        assert len(known) == 0
        assert (await legacy(client, sessions[-1], "ping")).status_code == 404
        gate.worker.gateway.snapshot.upstreams["raw"].expire_idle()  # type: ignore[attr-defined]
        while up.count("DELETE") < len(up.sessions):
            await checkpoint()


async def test_8_9_and_10_sessions_belong_to_one_caller_and_outlive_its_token(tmp_path: Path) -> None:
    async with (
        legacy_world(tmp_path) as (gate, _),
        gate.client(gate.token("planner")) as client,
        gate.client(gate.token("planner")) as renewed,
        gate.client(gate.token("twin")) as twin,
    ):
        session, theirs = await initialize(client), await initialize(twin)
        mine = (await legacy_answer(client, session, "tools/call", {"name": "raw__who"}))["result"]
        other = (await legacy_answer(twin, theirs, "tools/call", {"name": "raw__who"}))["result"]
        assert mine["content"] != other["content"]  # 8: no upstream session is shared by two principals
        stolen = await legacy(twin, session, "tools/call", {"name": "raw__who"})
        assert stolen.status_code == 404  # 9
        again = (await legacy_answer(renewed, session, "tools/call", {"name": "raw__who"}))["result"]
        assert again["content"] == mine["content"]  # 10: a fresh token of the same caller is the same caller


async def test_11_a_restarted_upstream_is_greeted_again_once_and_the_call_succeeds(tmp_path: Path) -> None:
    async with legacy_world(tmp_path) as (gate, up), gate.client(gate.token("planner")) as client:
        session = await initialize(client)
        assert "result" in await legacy_answer(client, session, "tools/call", {"name": "raw__who"})
        greeted = up.count("initialize")
        up.sessions.clear()  # it forgot everybody
        assert "result" in await legacy_answer(client, session, "tools/call", {"name": "raw__who"})
        assert up.count("initialize") == greeted + 1


@pytest.mark.requirement("mcp.asking.unasked")
async def test_18_batches_duplicate_keys_and_answers_nobody_asked_for_reach_nobody(tmp_path: Path) -> None:
    async with legacy_world(tmp_path) as (gate, up), gate.client(gate.token("planner")) as client:
        session = await initialize(client)
        calling = legacy_body("tools/call", {"name": "raw__who", "arguments": {}})
        hostile = {
            "a batch": b"[%b]" % calling,
            "a name twice": calling.replace(b'"name":', b'"name":"raw__other","name":'),
            "an answer": b'{"jsonrpc":"2.0","id":1,"result":{}}',
            "an answer to what somebody else was asked": b'{"jsonrpc":"2.0","id":"agent-gateway/0/1","result":{}}',
            "an error": b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}',
            "a call that is an answer too": calling[:-1] + b',"result":{}}',
        }
        for name, body in hostile.items():
            response = await client.post("/mcp", content=body, headers=legacy_headers(session))
            assert response.status_code == 400, name
        assert up.called() == []
        refused = of_kind(await gate.settled(), "refusal")
        assert len(refused) == len(hostile)
        for path_session in (session[:-3] + "AAA", "x" * 20, ""):
            body = legacy_body("tools/call", {"name": "raw__who", "arguments": {}})
            response = await client.post("/mcp", content=body, headers=legacy_headers(path_session))
            assert response.status_code in (400, 404)
        assert up.called() == []
