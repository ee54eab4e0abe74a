"""Byte fidelity: whatever JSON goes through arrives as it was written, but for the members that the design names."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.gateways import META, TestGateway, gateway
from support.raw_upstream import DISCOVERED, Call, RawUpstream, http, raw_upstream
from support.scenes import FILES, world

POLICY = 'permit (principal in Tenant::"acme", action, resource);\n'
REPLIES: dict[str, object] = {
    "server/discover": {**DISCOVERED, "capabilities": {"tools": {}, "prompts": {}, "resources": {}}},
    "prompts/list": {"prompts": [{"name": "p"}]},
    "resources/list": {"resources": [{"uri": "mem://r", "name": "r"}]},
}
NUMBERS = ["0", "-0", "1.0", "1e5", "1E-7", "-12.50", "9007199254740993", "123456789012345678901234567890", "0.1"]
SCALARS = st.one_of(
    st.sampled_from([*NUMBERS, "null", "true", "false", '"\\u00e9\\n\\/"', '"\\ud83d\\ude00"', '"é 😀"', '""']),
    st.text('abc{}[]:,"\\ é', max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


def _array(items: list[str]) -> str:
    return f"[{' , '.join(items)}]"


def _object(items: list[str]) -> str:
    return "{" + ",\t".join(f'"k{at}" : {item}' for at, item in enumerate(items)) + "}"


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(_array), st.lists(inner, max_size=4).map(_object)),
    max_leaves=12,
)
OBJECTS = st.lists(VALUES, max_size=4).map(_object)


@pytest.mark.requirement("mcp.raw-json")
@settings(
    max_examples=6,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
@given(cases=st.lists(st.tuples(OBJECTS, VALUES), min_size=20, max_size=20))
def test_any_json_passes_unchanged_both_ways(cases: list[tuple[str, str]]) -> None:
    asyncio.run(_pass(cases))


async def _pass(cases: list[tuple[str, str]]) -> None:
    replies = dict(REPLIES)
    result = ""

    async def tool(call: Call) -> None:
        id_raw = json.dumps(call.id).encode()
        await call.peer.say(http(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_raw, result.encode())))

    with TemporaryDirectory() as folder, anyio.fail_after(120):
        async with (
            raw_upstream({"t": tool}, replies=replies) as up,
            gateway(Path(folder), world([up.entry()]), **{**FILES, "main__cedar": POLICY}) as gate,
        ):
            for arguments, value in cases:
                inside = f'"resultType":"complete","content":[], "x":{value},"structuredContent":{value}'
                result = f'{{{inside},"_meta":{{"v":{value}}}}}'
                replies["prompts/get"] = result.encode()
                kept = result[1:-1]
                replies["resources/read"] = f'{{{kept},"ttlMs":5,"cacheScope":"private"}}'.encode()
                await _holds(gate, up, "tools/call", f'"name":"raw__t","arguments":{arguments},"y":{value}', result)
                await _holds(gate, up, "prompts/get", f'"name":"raw__p","arguments":{arguments},"y":{value}', result)
                read = str(replies["resources/read"], "utf-8")
                await _holds(gate, up, "resources/read", f'"uri":"mem://r","y":{value}', read)


async def _holds(gate: TestGateway, up: RawUpstream, method: str, params: str, result: str) -> None:
    """Send one request; assert that its params and its result went through byte for byte."""
    name = "mem://r" if method == "resources/read" else f"raw__{'t' if method == 'tools/call' else 'p'}"
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params},"_meta":{json.dumps(META)}}}}}'
    headers = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28", "mcp-method": method, "mcp-name": name,
    }  # fmt: skip
    async with gate.client(gate.token("planner")) as client:
        answer = await client.post("/mcp", content=body.encode(), headers=headers)
    assert answer.content == b'{"jsonrpc":"2.0","id":1,"result":%b}' % result.encode(), (method, answer.text)
    sent = up.heard[-1].decode()
    for member in params.split('"y":', 1)[1:]:
        assert f'"y":{member}' in sent
    if '"arguments":' in params:
        arguments = params.split('"arguments":', 1)[1].rsplit(',"y":', 1)[0]
        assert f'"arguments":{arguments}' in sent
