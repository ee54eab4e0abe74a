"""What a caller may send wrong: each gets one protocol error and one record, and costs no other caller anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest

from support.gateways import META, VERSION, TestGateway, call, gateway, rpc
from support.raw_upstream import Gate, definition, echo, raw_upstream
from support.scenes import FILES, Records, check_books, of_kind, world

HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": VERSION,
    "mcp-method": "tools/list",
}
CALLING = HEADERS | {"mcp-method": "tools/call", "mcp-name": "raw__echo"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def message(**changes: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}} | changes)


def calling(name: object = "raw__echo", **params: Any) -> bytes:
    return message(method="tools/call", params={"name": name, "arguments": {}, "_meta": META} | params)


ENVELOPES: dict[str, tuple[bytes, int, int]] = {
    # (body, HTTP status, JSON-RPC code)
    "nothing": (b"", 400, -32700),
    "no json": (b"hello", 400, -32700),
    "cut short": (message()[:-1], 400, -32700),
    "two values": (message() + b"{}", 400, -32700),
    "a byte order mark": (b"\xef\xbb\xbf" + message(), 400, -32700),
    "invalid utf-8": (message()[:-1] + b',"x":"\xff"}', 400, -32700),
    "half a surrogate pair": (message()[:-1] + b',"x":"\\ud800"}', 400, -32700),
    "a name twice": (message()[:-1] + b',"method":"tools/call"}', 400, -32700),
    "a name twice, escaped": (message()[:-1] + b',"\\u006dethod":"tools/call"}', 400, -32700),
    "a name twice, deep": (calling(arguments=msgspec.Raw(b'{"a":{"b":1,"b":2}}')), 400, -32700),
    "NaN": (message(params={"_meta": META, "x": msgspec.Raw(b"NaN")}), 400, -32700),
    "Infinity": (message(params={"_meta": META, "x": msgspec.Raw(b"-Infinity")}), 400, -32700),
    "a number beyond doubles": (message(params={"_meta": META, "x": msgspec.Raw(b"1e999")}), 400, -32700),
    "deep nesting": (message(params={"_meta": META, "x": msgspec.Raw(b"[" * 70 + b"]" * 70)}), 400, -32700),
    "bottomless nesting": (b"[" * 200_000, 400, -32700),
    "a batch": (b"[" + message() + b"]", 400, -32600),
    "an empty batch": (b"[]", 400, -32600),
    "a text": (b'"tools/list"', 400, -32600),
    "null": (b"null", 400, -32600),
    "another version of JSON-RPC": (message(jsonrpc="1.0"), 400, -32600),
    "no version of JSON-RPC": (message(jsonrpc=None), 400, -32600),
    "a response": (msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": {}}), 400, -32600),
    "an error": (msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}), 400, -32600),
    "a request with a result": (message(result={}), 400, -32600),
    "a null id": (message(id=None), 400, -32600),
    "a fraction as id": (message(id=1.5), 400, -32600),
    "a boolean as id": (message(id=True), 400, -32600),
    "an object as id": (message(id={}), 400, -32600),
    "a very long id": (message(id="x" * 300), 400, -32600),
    "a number as method": (message(method=1), 400, -32600),
    "no method": (message(method=None), 400, -32600),
    "an array as params": (message(params=[]), 400, -32600),
    "null as params": (message(params=None), 400, -32600),
    "an array as meta": (message(params={"_meta": []}), 400, -32600),
}

MODERN: dict[str, tuple[bytes, Mapping[str, str | None], int, int]] = {
    # (body, changed headers, HTTP status, JSON-RPC code)
    "another version in the header": (message(), {"mcp-protocol-version": "2026-07-29"}, 400, -32020),
    "no version in the header": (message(), {"mcp-protocol-version": None}, 400, -32020),
    "another method in the header": (message(), {"mcp-method": "tools/call"}, 400, -32020),
    "no method in the header": (message(), {"mcp-method": None}, 400, -32020),
    "another name in the header": (calling(), {"mcp-method": "tools/call", "mcp-name": "raw__other"}, 400, -32020),
    "no name in the header": (calling(), {"mcp-method": "tools/call"}, 400, -32020),
    "a version that nobody serves": (
        message(params={"_meta": dict(META) | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}}),
        {"mcp-protocol-version": "2099-01-01"},
        400,
        -32022,
    ),
    "no meta": (message(params={}), {}, 400, -32602),
    "no capabilities": (
        message(params={"_meta": {"io.modelcontextprotocol/protocolVersion": VERSION}}),
        {},
        400,
        -32602,
    ),
    "capabilities that are none": (
        message(params={"_meta": dict(META) | {"io.modelcontextprotocol/clientCapabilities": []}}),
        {},
        400,
        -32602,
    ),
    "neither era": (message(params={}), {"mcp-protocol-version": None}, 400, -32600),
    "a method that is none": (message(method="tools/steal"), {"mcp-method": "tools/steal"}, 404, -32601),
    "a method of the other era": (message(method="ping"), {"mcp-method": "ping"}, 404, -32601),
    "a number as tool": (calling(7), {"mcp-method": "tools/call", "mcp-name": "7"}, 400, -32020),
    "no tool": (calling(None), {"mcp-method": "tools/call"}, 400, -32602),
    "an array as arguments": (calling(arguments=[]), CALLING, 400, -32602),
    "null as arguments": (calling(arguments=None), CALLING, 400, -32602),
    "answers that are no object": (calling(inputResponses=[]), CALLING, 400, -32602),
    "an answer that is no object": (calling(inputResponses={"a": 1}), CALLING, 400, -32602),
    "a state that is not ours": (calling(requestState="x"), CALLING, 400, -32602),
    "a number as cursor": (message(params={"_meta": META, "cursor": 1}), {}, 400, -32602),
    "a forged cursor": (message(params={"_meta": META, "cursor": "MTA"}), {}, 400, -32602),
}

HTTP: dict[str, tuple[bytes, Mapping[str, str | None], int]] = {
    "text as content type": (message(), {"content-type": "text/plain"}, 415),
    "no content type": (message(), {"content-type": None}, 415),
    "a form": (b"a=b", {"content-type": "application/x-www-form-urlencoded"}, 415),
    "a compressed body": (message(), {"content-encoding": "gzip"}, 415),
    "another host": (message(), {"host": "evil.test"}, 421),
    "a web page": (message(), {"origin": "https://evil.test"}, 403),
    "a page of nowhere": (message(), {"origin": "null"}, 403),
    "a body beyond its limit": (message(x="y" * 5000), {}, 413),
    "many headers": (message(), {f"x-{number}": "1" for number in range(40)}, 431),
}


def with_headers(changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in (HEADERS | dict(changes)).items() if value is not None}


async def refused(
    gate: TestGateway, client: httpx2.AsyncClient, body: bytes, headers: Mapping[str, str], path: str = "/mcp"
) -> tuple[httpx2.Response, Records]:
    """Send one bad request; return the answer and the records it left."""
    before = len(await gate.settled())
    response = await client.post(path, content=body, headers=headers)
    return response, (await gate.settled())[before:]


def error_code(response: httpx2.Response) -> int:
    """Return the code of the one JSON-RPC error that the answer is."""
    body = response.json()
    assert set(body) == {"jsonrpc", "id", "error"}
    return body["error"]["code"]


@pytest.mark.requirement("bad-input.json")
async def test_every_malformed_body_is_one_error_and_one_record(tmp_path: Path) -> None:
    got: dict[str, tuple[int, int]] = {}
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            async with gate.client(gate.token("planner")) as client:
                for name, (body, _, _) in ENVELOPES.items():
                    response, left = await refused(gate, client, body, HEADERS)
                    assert [(one["kind"], one["status"]) for one in left] == [("refusal", response.status_code)], name
                    got[name] = (response.status_code, error_code(response))
                assert (await call(client, "raw__echo"))["result"]["content"]
            assert len(up.calls) == 1
    assert got == {name: wanted for name, (_, *rest) in ENVELOPES.items() if (wanted := tuple(rest))}


@pytest.mark.requirement("bad-input.protocol")
async def test_every_breach_of_the_modern_protocol_is_one_error_and_one_record(tmp_path: Path) -> None:
    got: dict[str, tuple[int, int]] = {}
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up, gateway(tmp_path, world([up.entry()]), **FILES) as gate:
            async with gate.client(gate.token("planner")) as client:
                for name, (body, changes, _, _) in MODERN.items():
                    response, left = await refused(gate, client, body, with_headers(changes))
                    assert [(one["kind"], one["status"]) for one in left] == [("refusal", response.status_code)], name
                    got[name] = (response.status_code, error_code(response))
            assert up.calls == []
    assert got == {name: (status, code) for name, (_, _, status, code) in MODERN.items()}


@pytest.mark.requirement("listeners.host-and-origin", "invariant.limits-are-named")
async def test_every_bad_head_is_refused_by_its_name_and_recorded_once(tmp_path: Path) -> None:
    got: dict[str, int] = {}
    limits = "limits: {body_bytes: 4096, headers: 32}\n"
    with anyio.fail_after(30):
        async with gateway(tmp_path, world([], limits), **FILES) as gate, gate.client(gate.token("planner")) as client:
            for name, (body, changes, _) in HTTP.items():
                response, left = await refused(gate, client, body, with_headers(changes))
                codes = [(one["kind"], one["status"]) for one in left]
                assert codes == [("refusal", response.status_code)], name
                assert left[0]["code"] == response.json()["error"]["data"]["agent-gateway/refusal"]["code"]
                got[name] = response.status_code
    assert got == {name: status for name, (_, _, status) in HTTP.items()}


async def test_a_critical_header_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with gateway(tmp_path, world([]), **FILES) as gate, gate.client() as client:
            token = ("authorization", f"Bearer {gate.token('planner')}")
            for name in ("mcp-method", "mcp-protocol-version", "content-type", "authorization", "mcp-session-id"):
                headers = [*HEADERS.items(), token, (name, "x"), (name, "x")]
                response = await client.post("/mcp", content=message(), headers=headers)
                assert response.status_code == 400, name
            assert [one["code"] for one in of_kind(await gate.settled(), "refusal")] == ["bad_request"] * 5


@pytest.mark.requirement("bad-input.arguments")
async def test_arguments_that_break_the_schema_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    secret = "the-value-itself-is-nobody-s-business"
    with anyio.fail_after(30):
        tools = [definition("echo", SCHEMA)]
        async with (
            raw_upstream({"echo": echo}, tools) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            for arguments in ({}, {"n": secret}, {"n": 1.5}):
                answer = await call(client, "raw__echo", arguments)
                assert answer["error"]["code"] == -32602
                assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "invalid_arguments"
                assert secret not in str(answer)
            assert (await call(client, "raw__echo", {"n": 3}))["result"]["content"]
            assert [one.arguments for one in up.calls] == [{"n": 3}]
            records = await gate.settled()
    check_books(records)
    effects = [(one["effect"], one["code"]) for one in of_kind(records, "decision")]
    assert effects == [("forbid", "invalid_arguments")] * 3 + [("permit", "")]
    assert [one["status"] for one in of_kind(records, "outcome")] == ["refused"] * 3 + ["ok"]


@pytest.mark.requirement("invariant.hidden-is-unknown")
async def test_a_hidden_tool_and_an_unknown_one_get_the_same_answer_byte_for_byte(tmp_path: Path) -> None:
    mirrored = {
        "type": "object",
        "properties": {"where": {"type": "string", "x-mcp-header": "Where"}},
        "required": ["where"],
    }
    more = "rates: [{name: slow, scope: agent, match: '*', per_second: 0.001, burst: 1}]\n"
    more += "budgets: [{name: none, scope: agent, match: '*', unit: calls, limit: 0, window: day}]\n"
    with anyio.fail_after(30):
        tools = [definition("plain"), definition("heads", mirrored)]
        async with (
            raw_upstream({}, tools) as up,
            gateway(tmp_path, world([up.entry()], more), **FILES) as gate,
        ):
            for prefix, path in (("raw__", "/mcp"), ("", "/servers/raw/mcp")):
                token = gate.token("spy", path)
                async with gate.client(token) as client:
                    for hidden, unknown in (("plain", "plaim"), ("heads", "headz")):
                        for arguments in ({}, {"where": "there"}, {"where": 1}):
                            params = [{"name": prefix + name, "arguments": arguments} for name in (hidden, unknown)]
                            answers = [await rpc(client, "tools/call", one, path=path) for one in params]
                            assert answers[0].text.replace(hidden, unknown) == answers[1].text
                            assert answers[0].status_code == answers[1].status_code
                            assert sorted(answers[0].headers.items()) == sorted(answers[1].headers.items())
            assert up.calls == []


@pytest.mark.requirement("bad-input.costs-nobody-else")
async def test_a_good_caller_notices_nothing_of_bad_ones(tmp_path: Path) -> None:
    gate_tool = Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"wait": gate_tool, "echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as good,
            gate.client(gate.token("twin")) as bad,
        ):
            answers: list[dict[str, Any]] = []

            async def wait() -> None:
                answers.append(await call(good, "raw__wait"))

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await gate_tool.reached.wait()
                for body, _, _ in ENVELOPES.values():
                    assert (await bad.post("/mcp", content=body, headers=HEADERS)).status_code == 400
                    assert (await call(good, "raw__echo"))["result"]["content"]
                gate_tool.opened.set()
            assert answers[0]["result"]["content"] == [{"type": "text", "text": "wait"}]
            check_books(await gate.settled())
