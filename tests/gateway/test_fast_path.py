"""Plain calls by the short way: the answers, the records and the upstream's requests of the long way, byte for byte."""

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import orjson
import pytest

from agent_gateway.pipeline.exchange import Exchange
from support.gateways import TestGateway, gateway
from support.odd_tools import TOOLS
from support.raw_upstream import Call, Gate, RawUpstream, answer, definition, raw_upstream, text
from support.scenes import FILES, POLICY, check_books, of_kind, world
from support.two_ways import Connection, Ways, idle, request, same, two_ways, with_body

POLICIES = (
    POLICY
    + """
@id("no-large-n") @reason("n is too large") @hint("ask for less")
forbid (principal, action == Action::"call", resource == Tool::"raw__echo")
when { context.args has n && context.args.n > 1000 };
"""
)
SETTINGS = """\
limits: {call_timeout_s: 1, result_bytes: 200000}
toolsets: {only: {include: ["raw__echo"]}}
budgets:
  - {name: money, scope: agent, match: "acme/planner", unit: micros, limit: 1000000, window: month}
  - {name: dear, scope: capability, match: raw__dear, unit: calls, limit: 0, window: total}
rates:
  - {name: slow, scope: capability, match: raw__rare, per_second: 1, burst: 3}
"""
NUMBERED = {"type": "object", "properties": {"n": {"type": "integer"}, "text": {"type": "string"}}}


@dataclass(frozen=True)
class Case:
    """One request; `is_short` says whether it must go the short way, None: whether it does is not looked at."""

    name: str = "raw__echo"
    arguments: object = None
    is_short: bool | None = True
    head: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    body: Mapping[str, object] = field(default_factory=dict[str, object])
    params: Mapping[str, object] = field(default_factory=dict[str, object])
    meta: Mapping[str, object] = field(default_factory=dict[str, object])
    raw: bytes | None = None

    def bytes(self, token: str) -> bytes:
        if self.raw is not None:
            return with_body(token, self.name, self.raw, self.head)
        return request(
            token, self.name, self.arguments, head=self.head, body=self.body, params=self.params, meta=self.meta
        )


def _long(**kinds: object) -> Case:
    return Case(is_short=False, **kinds)  # pyright: ignore[reportArgumentType]


_WHOLE = orjson.loads(request("t", "raw__echo", {"n": 1}).split(b"\r\n\r\n", 1)[1])


def _raw(arguments: bytes) -> bytes:
    return orjson.dumps({**_WHOLE, "params": {**_WHOLE["params"], "arguments": {"HERE": 1}}}).replace(
        b'{"HERE":1}', arguments
    )


def _extension(name: str) -> dict[str, object]:
    return {"io.modelcontextprotocol/clientCapabilities": {"extensions": {name: {}}}}


_TASKS, _OTHER = _extension("io.modelcontextprotocol/tasks"), _extension("com.example/other")

CASES: Mapping[str, Case] = {
    "plain": Case(),
    "arguments": Case(arguments={"n": 3, "text": "grüße \u2028 \U0001f600", "deep": {"a": [1, {"b": None}]}}),
    "big numbers": Case(raw=_raw(b'{"text":"x","big":123456789012345678901234567890,"f":1.50e3}')),
    "spaces": Case(raw=orjson.dumps(_WHOLE, option=orjson.OPT_INDENT_2)),
    "order of members": Case(body={"params": dict(reversed(_WHOLE["params"].items()))}),
    "text id": Case(body={"id": 'a"b\\'}),
    "negative id": Case(body={"id": -5}),
    "large id": Case(body={"id": 2**63 + 1}),
    "id too long": _long(body={"id": "x" * 300}),
    "fractional id": _long(body={"id": 1.5}),
    "true as id": _long(body={"id": True}),
    "no id": _long(body={"id": None}),
    "null id": _long(raw=orjson.dumps({**_WHOLE, "id": None})),
    "old jsonrpc": _long(body={"jsonrpc": "1.0"}),
    "more members": _long(body={"extra": 1}),
    "another method": _long(body={"method": "tools/list"}, head={"mcp-method": "tools/list"}),
    "batch": _long(raw=orjson.dumps([_WHOLE])),
    "not JSON": _long(raw=b"{"),
    "not UTF-8": _long(raw=_raw(b'{"text":"\xff"}')),
    "equal names": _long(raw=_raw(b'{"n":1,"n":2000}')),
    "equal names outside": _long(raw=orjson.dumps(_WHOLE)[:-1] + b',"method":"tools/call"}'),
    "not a number": _long(raw=_raw(b'{"n":NaN}')),
    "lone surrogate": _long(raw=_raw(b'{"text":"\\ud800"}')),
    "deep": _long(raw=_raw(b'{"a":' + b"[" * 70 + b"]" * 70 + b"}")),
    "at the bound of depth": Case(raw=_raw(b'{"a":' + b"[" * 61 + b"]" * 61 + b"}")),
    "beyond the bound of depth": _long(raw=_raw(b'{"a":' + b"[" * 62 + b"]" * 62 + b"}")),
    "arguments that end early": _long(raw=_raw(b'{"n":1}},"x":{"y":1')),
    "no arguments": _long(params={"arguments": None}),
    "arguments as a list": _long(arguments=[1]),
    "no name": _long(params={"name": None}),
    "name as a number": _long(params={"name": 5}),
    "answers nobody asked for": _long(params={"inputResponses": {}}),
    "state nobody gave": _long(params={"requestState": "x"}),
    "a task": _long(params={"task": {"ttl": 1}}),
    "unknown member": _long(params={"future": {"a": 1}}),
    "progress": _long(meta={"progressToken": 5}),
    "log level": _long(meta={"io.modelcontextprotocol/logLevel": "debug"}),
    "own meta": _long(meta={"acme/x": {"y": None}}),
    "trace in meta": _long(meta={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}),
    "who asks": Case(meta={"io.modelcontextprotocol/clientInfo": {"name": "me", "version": "1"}}),
    "no meta": _long(params={"_meta": None}),
    "another version": _long(meta={"io.modelcontextprotocol/protocolVersion": "2025-11-25"}),
    "a future version": _long(
        meta={"io.modelcontextprotocol/protocolVersion": "2030-01-01"}, head={"mcp-protocol-version": "2030-01-01"}
    ),
    "capabilities as a list": _long(meta={"io.modelcontextprotocol/clientCapabilities": []}),
    "version header disagrees": _long(head={"mcp-protocol-version": "2025-06-18"}),
    "method header disagrees": _long(head={"mcp-method": "tools/list"}),
    "name header disagrees": _long(head={"mcp-name": "raw__other"}),
    "no name header": _long(head={"mcp-name": None}),
    "name header in base64": Case(head={"mcp-name": "=?base64?cmF3X19lY2hv?="}, is_short=None),
    "session header": _long(head={"mcp-session-id": "none"}),
    "trace header": Case(head={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}),
    "bad trace header": Case(head={"traceparent": "00-xyz"}),
    "trace state": _long(head={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "tracestate": "a=b"}),
    "only JSON accepted": Case(head={"accept": "application/json"}),
    "charset": Case(head={"content-type": "application/json; charset=utf-8"}),
    "another content type": _long(head={"content-type": "text/plain"}),
    "encoded": _long(head={"content-encoding": "gzip"}),
    "no credential": _long(head={"authorization": None}),
    "wrong token": _long(head={"authorization": "Bearer x.y.z"}),
    "two credentials": _long(head={"x-api-key": "agk_x"}),
    "wrong host": _long(head={"host": "elsewhere.test"}),
    "from a page": _long(head={"origin": "https://evil.test"}),
    "chunked": _long(head={"content-length": None, "transfer-encoding": "chunked"}, raw=b"5\r\nhello\r\n0\r\n\r\n"),
    "connection closes": Case(head={"connection": "close"}),
    "unknown tool": _long(name="raw__nothing"),
    "hidden tool": Case(name="raw__secret"),
    "policy denies": Case(arguments={"n": 5000}),
    "argument of another kind": Case(arguments={"n": "x"}),
    "schema": Case(name="raw__echo", arguments={"text": 5}),
    "follows tasks": Case(meta=_TASKS),
    "a task that is followed": Case(name="raw__task", meta=_TASKS),
    "a task with another extension": Case(name="raw__task", meta=_OTHER),
    "half a task": Case(name="raw__task_stream", meta=_TASKS),
    "over budget": Case(name="raw__dear"),
    **{
        tool: Case(name=f"raw__{tool}")
        for tool in TOOLS
        if tool not in ("echo", "dear", "rare", "secret", "hangs")
    },
}  # fmt: skip


def _definitions() -> list[dict[str, object]]:
    return [definition(name, NUMBERED if name == "echo" else None) for name in TOOLS]


def _settings(upstream: RawUpstream) -> str:
    secret = (
        '{"secret": {tags: [secret], risk: 1, read_only: true, price_micros: 100}, "*": {risk: 1, price_micros: 100}}'
    )
    entry = f"  raw: {{url: '{upstream.url}', allow_private: true, era: modern, tools: {secret}}}\n"
    return world([entry], SETTINGS)


async def _sent(one: TestGateway, upstream: RawUpstream, connection: Connection, raw: bytes) -> tuple[object, ...]:
    """Send a request; return answer, records and what the upstream heard, without what differs from call to call."""
    before, heard = len(await one.settled()), len(upstream.heard)
    await connection.send(raw)
    said = await connection.answer()
    await idle(one)
    calls = [one_request for one_request in upstream.heard[heard:] if b'"tools/call"' in one_request]
    records = [_recorded(record, calls) for record in (await one.settled())[before:]]
    asked = [_as_asked(one_request) for one_request in calls]
    return same(said), records, asked


def _recorded(record: Mapping[str, object], heard: Sequence[bytes]) -> bytes:
    """Return a record as text; what came back is counted without the digits of our own id in it."""
    sent = re.search(rb'"id":(\d+)', heard[-1]) if heard else None
    size = record.get("bytes_out")
    if sent and isinstance(size, int) and size:
        record = {**record, "bytes_out": size - len(sent[1])}
    return same(orjson.dumps(record, option=orjson.OPT_SORT_KEYS))


def _as_asked(heard: bytes) -> bytes:
    heard = re.sub(rb'"(id|progressToken)":\d+', rb'"\1":N', same(heard))
    return re.sub(rb"content-length: \d+", b"content-length: N", heard)


@pytest.mark.requirement("fast-path-is-invisible")
@pytest.mark.parametrize("slices", range(4))
async def test_both_ways_give_the_same_bytes_to_the_caller_the_log_and_the_upstream(
    tmp_path: Path, slices: int
) -> None:
    async with _both(tmp_path) as (one, upstream, ways):
        await _compare(one, upstream, ways, slices)


async def _compare(one: TestGateway, upstream: RawUpstream, ways: Ways, number: int) -> None:
    token, active = one.token("planner"), one.worker.gateway.active
    async with Connection(ways.long) as long, Connection(ways.short) as short:
        for connection in (long, short):  # leases, connections and the era are warm
            await _sent(one, upstream, connection, request(token))
        for name, case in list(CASES.items())[number::4]:
            raw = case.bytes(token)
            expected = await _sent(one, upstream, long, raw)
            for time in ("first", "second"):  # the second time the head is known
                before = active.plain_count
                assert await _sent(one, upstream, short, raw) == expected, f"{name}, {time}"
                if case.is_short is not None:
                    assert (active.plain_count > before) == case.is_short, f"{name}, {time}"


@asynccontextmanager
async def _both(folder: Path) -> AsyncGenerator[tuple[TestGateway, RawUpstream, Ways]]:
    files = {**FILES, "main__cedar": POLICIES}
    async with (
        raw_upstream(TOOLS, _definitions()) as upstream,
        gateway(folder, _settings(upstream), **files) as one,
        two_ways(one) as ways,
    ):
        yield one, upstream, ways
        check_books(await one.settled())


async def test_a_deadline_is_kept_to_both_ways(tmp_path: Path) -> None:
    async with (
        _both(tmp_path) as (one, upstream, ways),
        Connection(ways.short) as short,
        Connection(ways.long) as long,
    ):
        token = one.token("planner")
        await _sent(one, upstream, short, request(token))
        said = [await _sent(one, upstream, way, request(token, "raw__hangs")) for way in (short, long)]
        assert said[0] == said[1]
        assert b"-32012" in bytes(str(said[0][0]), "utf-8")


async def test_a_fault_while_a_deadline_passes_is_answered_and_later_deadlines_are_kept_to(tmp_path: Path) -> None:
    def fails(_: Exchange) -> None:
        raise RuntimeError("of our own")

    async with _both(tmp_path) as (one, upstream, ways), Connection(ways.short) as short:
        token = one.token("planner")
        await _sent(one, upstream, short, request(token))
        with anyio.fail_after(20):
            usual, one.worker.gateway.services.on_end = one.worker.gateway.services.on_end, fails
            await short.send(request(token, "raw__hangs"))
            assert b'"internal"' in await short.answer()
            one.worker.gateway.services.on_end = usual
            await short.send(request(token, "raw__hangs"))
            assert b"-32012" in await short.answer()


async def test_a_rate_is_taken_once_for_each_call(tmp_path: Path) -> None:
    async with _both(tmp_path) as (one, upstream, ways):
        token = one.token("planner")
        connections = [Connection(ways.short) for _ in range(8)]
        for connection in connections:
            await connection.send(request(token, "raw__rare"))
        said = [await connection.answer() for connection in connections]
        for connection in connections:
            connection.close()
        refused = sum(b"over_rate" in one_answer for one_answer in said)
        assert 3 <= upstream.count("rare") == 8 - refused
        assert one.worker.gateway.active.plain_count


@pytest.mark.requirement("mcp.cancel")
async def test_a_caller_that_leaves_cancels_its_call_at_the_upstream(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        raw_upstream({"gate": gate}) as upstream,
        gateway(tmp_path, world([upstream.entry()]), **FILES) as one,
        two_ways(one) as ways,
        Connection(ways.short) as short,
    ):
        await short.send(request(one.token("planner"), "raw__gate"))
        with anyio.fail_after(20):
            await gate.reached.wait()
            assert one.worker.gateway.active.plain_count == 1
            short.close()
            await gate.left.wait()
        await idle(one)
        records = await one.settled()
        check_books(records)
        assert [record["status"] for record in of_kind(records, "outcome")] == ["cancelled"]


async def test_many_calls_at_once_reach_their_own_callers(tmp_path: Path) -> None:
    async def repeat(call: Call) -> None:
        await call.peer.say(answer(call, text(call.arguments["text"])))

    async with (
        raw_upstream({"repeat": repeat}) as upstream,
        gateway(tmp_path, world([upstream.entry()]), **FILES) as one,
        two_ways(one) as ways,
    ):
        token = one.token("planner")

        async def talk(number: int) -> None:
            async with Connection(ways.short) as connection:
                for turn in range(5):
                    await connection.send(request(token, "raw__repeat", {"text": f"{number}-{turn}"}))
                    assert b'"text":"%d-%d"' % (number, turn) in await connection.answer()

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(talk, number)
        records = await one.settled()
        check_books(records)
        assert len(of_kind(records, "outcome")) == len(upstream.calls) == 100
        assert one.worker.gateway.active.count == 0


async def test_pipelined_split_and_waiting_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with _both(tmp_path) as (one, upstream, ways), Connection(ways.short) as short:
        token = one.token("planner")
        first = request(token, body={"id": 1})
        await _sent(one, upstream, short, first)
        await short.send(first + request(token, body={"id": 2}) + request(token, body={"id": 3}))
        for number in (1, 2, 3):
            assert b'"id":%d,' % number in await short.answer()
        await short.send(first[:30], first[30:-20], first[-20:])
        assert b'"id":1,' in await short.answer()
        waits = request(token, body={"id": 4}, head={"expect": "100-continue"})
        await short.send(waits)
        assert b'"id":4,' in await short.answer()
        await short.send(request(token, arguments={"text": "x" * 100_000}, body={"id": 5}))
        assert b'"id":5,' in await short.answer()


async def test_a_token_ends_and_a_configuration_changes_for_known_heads_too(tmp_path: Path) -> None:
    now = time.time()
    files = {**FILES, "main__cedar": POLICIES}
    async with (
        raw_upstream(TOOLS, _definitions()) as upstream,
        gateway(tmp_path, _settings(upstream), lambda: now, **files) as one,
        two_ways(one) as ways,
        Connection(ways.short) as short,
    ):
        raw = request(one.token("planner"))
        for _ in range(3):
            await short.send(raw)
            assert b" 200 OK" in await short.answer()
        assert one.worker.gateway.active.plain_count >= 2
        (tmp_path / "main.cedar").write_text("")
        assert await one.worker.keeper.reload(one.worker.gateway)
        await short.send(raw)
        assert b"not_found" in await short.answer()
        now += 100_000
        await short.send(raw)
        assert b" 401 " in await short.answer()
