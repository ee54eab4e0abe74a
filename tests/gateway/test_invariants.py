"""What must hold whatever happens: records before effects, one outcome each, nothing secret anywhere."""

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint

from support.gateways import TestGateway, call, gateway, rpc
from support.legacy_client import initialize, legacy
from support.raw_upstream import Call, Gate, Tool, answer, echo, raw_upstream, text
from support.scenes import FILES, check_books, of_kind, world


@pytest.mark.requirement("invariant.doubt-denies.audit", "invariant.record-before-forward")
async def test_nothing_reaches_an_upstream_while_the_log_cannot_be_written_and_all_is_well_afterwards(
    tmp_path: Path,
) -> None:
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            assert (await call(client, "raw__echo"))["result"]["content"]
            log = gate.worker.books.log
            with closing(sqlite3.connect(log.path, isolation_level=None)) as thief:
                thief.execute("BEGIN IMMEDIATE")
                for _ in range(3):
                    error = (await call(client, "raw__echo"))["error"]
                    assert error["code"] == -32013
                    assert str(tmp_path) not in str(error)
                assert log.state == "down"
                assert (await rpc(client, "tools/list")).json()["error"]["code"] == -32013
                assert len(up.calls) == 1
                thief.execute("ROLLBACK")
            await log.recovered()
            assert (await call(client, "raw__echo"))["result"]["content"]
            assert len(up.calls) == 2
            check_books(await gate.settled())


@pytest.mark.requirement("audit.one-outcome")
@pytest.mark.parametrize("seed", range(3))
async def test_every_decision_has_one_outcome_under_random_cancellations_and_deaths(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def dies(call: Call) -> None:
        await call.peer.say(answer(call, text("x"))[: chance.randrange(60)])
        call.peer.writer.transport.abort()

    hangs = Gate()
    tools: dict[str, Tool] = {"echo": echo, "hangs": hangs}
    budget = "budgets: [{name: purse, scope: tenant, match: acme, unit: calls, limit: 100000, window: total}]\n"
    with anyio.fail_after(60):
        async with (
            raw_upstream(tools) as up,
            raw_upstream({"dies": dies}) as frail,
            gateway(
                tmp_path, world([up.entry("raw", ", timeout_s: 1"), frail.entry("frail")], budget), **FILES
            ) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            session = await initialize(client)

            async def one(delay: int) -> None:
                """Call something in one of the eras, and perhaps leave after a few turns of the loop."""
                name = chance.choice(["raw__echo", "raw__hangs", "raw__hangs", "frail__dies", "raw__nowhere"])
                params: dict[str, object] = {"name": name, "arguments": {}}
                is_modern = chance.random() < 0.5
                task = asyncio.ensure_future(
                    rpc(client, "tools/call", params) if is_modern else legacy(client, session, "tools/call", params)
                )
                if delay % 2:
                    await hangs.reached.wait()
                for _ in range(delay):
                    await checkpoint()
                if is_modern and chance.random() < 0.7:
                    task.cancel()
                await asyncio.wait({task})
                assert task.cancelled() or task.result().status_code in (200, 400, 404), task

            async with anyio.create_task_group() as group:
                for _ in range(120):
                    group.start_soon(one, chance.randrange(200))
            records = await gate.settled()
            check_books(records)
            assert {"ok", "cancelled"} < {one["status"] for one in of_kind(records, "outcome")}
            assert gate.worker.gateway.active.count == 0
            await gate.worker.books.ledger.flush()
            [usage] = await gate.worker.books.ledger.usage()
            assert (usage.held, usage.spent) == (0, sum(one["settled"][0][2] for one in of_kind(records, "outcome")))
            assert len(up.calls) + len(frail.calls) <= usage.spent


@pytest.mark.requirement("telemetry.trace-context")
async def test_a_trace_goes_on_to_the_upstream_and_into_the_record(tmp_path: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            client.headers["traceparent"] = f"00-{trace}-b7ad6b7169203331-01"
            client.headers["tracestate"] = "vendor=1"
            assert (await call(client, "raw__echo"))["result"]["content"]
            onward = up.calls[0].head[b"traceparent"].decode()
            version, trace_id, span, flags = onward.split("-")
            assert (version, trace_id, flags) == ("00", trace, "01")
            assert span != "b7ad6b7169203331"
            assert up.calls[0].head[b"tracestate"] == b"vendor=1"
            [decision] = of_kind(await gate.settled(), "decision")
            assert decision["trace"].split("-")[1] == trace
            assert len(up.calls) == 1
            client.headers["traceparent"] = "00-" + "0" * 32 + "-b7ad6b7169203331-01\x7f"
            assert (await call(client, "raw__echo"))["result"]["content"]
            assert b"\x7f" not in up.heard[-1]


LATE = ", timeout_s: 1"
CANARIES = {"vault": "canary-of-the-vault-58203", "argument": "canary-of-an-argument-71112"}


@pytest.mark.requirement("invariant.token-stays-here", "audit.no-clear-text", "invariant.tenants-apart")
async def test_no_secret_and_no_foreign_name_leaves_the_place_where_it_belongs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def breaks(call: Call) -> None:
        call.peer.writer.transport.abort()

    auth = ", auth: {kind: header, name: Authorization, prefix: 'Bearer ', value: 'file:vault'}"
    files = {**FILES, "vault": CANARIES["vault"]}
    answers: list[str] = []
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo, "breaks": breaks}) as up,
            raw_upstream({"echo": echo}) as plain,
            gateway(tmp_path, world([up.entry("raw", auth), plain.entry("plain")]), **files) as gate,
        ):
            tokens = [gate.token("planner"), gate.token("spy")]
            for token in tokens:
                async with gate.client(token) as client:
                    await everything(client, answers)
            records = str(await gate.settled())
            logs = caplog.text + "".join(capfd.readouterr())
            said, heard = "".join(answers), [b"\n".join(one.heard) for one in (up, plain)]
    for token in tokens:
        for place in (said, records, logs, *map(repr, heard)):
            assert token not in place
            assert token.split(".")[2] not in place
    assert CANARIES["vault"].encode() in heard[0]
    assert CANARIES["vault"].encode() not in heard[1]
    for name in CANARIES.values():
        assert name not in records
        assert name not in logs
    assert CANARIES["vault"] not in said
    spied = "".join(answers[len(answers) // 2 :])
    for foreign in ("acme", "planner", "research", str(tmp_path), "127.0.0.1", "Traceback"):
        assert foreign not in spied


async def everything(client: httpx2.AsyncClient, answers: list[str]) -> None:
    """Do a bit of everything and keep what was answered."""
    canary = {"secret": CANARIES["argument"]}
    for name in ("raw__echo", "raw__breaks", "plain__echo", "raw__nothing"):
        response = await rpc(client, "tools/call", {"name": name, "arguments": canary})
        answers.append(response.text + repr(response.headers))
    lists = [await rpc(client, "tools/list", path=path) for path in ("/mcp", "/servers/raw/mcp", "/nowhere")]
    answers.extend(response.text for response in lists)
    answers.append((await client.post("/mcp", content=b"{", headers={"content-type": "application/json"})).text)


@pytest.mark.requirement("invariant.listed-iff-callable", "invariant.no-permit-no-forward")
async def test_what_is_listed_can_be_called_and_nothing_else(tmp_path: Path) -> None:
    policy = """
@id("some") permit (principal == Agent::"planner", action == Action::"call", resource)
when { resource.risk <= 3 };
@id("none-today") @reason("never on this one")
forbid (principal, action, resource == Tool::"raw__c") when { context.args has really };
"""
    rules = "".join(f"{name}: {{risk: {risk}}}, " for name, risk in {"a": 1, "b": 5, "c": 3, "d": 9}.items())
    with anyio.fail_after(30):
        async with raw_upstream(dict.fromkeys("abcd", echo)) as up:
            entry = f"  raw: {{url: '{up.url}', allow_private: true, era: modern, tools: {{{rules}}}}}\n"
            files = {**FILES, "main__cedar": policy}
            async with gateway(tmp_path, world([entry]), **files) as gate:
                for agent, expected in (("planner", ["raw__a", "raw__c"]), ("twin", [])):
                    async with gate.client(gate.token(agent)) as client:
                        listed = await names(client)
                        assert listed == expected
                        called = [n for n in "abcd" if "result" in await call(client, f"raw__{n}")]
                        assert [f"raw__{name}" for name in called] == listed
                async with gate.client(gate.token("planner")) as client:
                    denied = (await call(client, "raw__c", {"really": True}))["error"]
                    assert denied["code"] == -32003
            assert [one.name for one in up.calls] == ["a", "c"]


async def names(client: httpx2.AsyncClient) -> list[str]:
    """Return the names in the list."""
    result = (await rpc(client, "tools/list")).json()["result"]
    return [tool["name"] for tool in result["tools"]]


@pytest.mark.requirement("invariant.doubt-denies.no-policy")
async def test_without_a_policy_nothing_is_listed_and_nothing_can_be_called(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up:
            config = world([up.entry()]).replace("policies: {files: [main.cedar]}\n", "")
            async with gateway(tmp_path, config, **FILES) as gate, gate.client(gate.token("planner")) as client:
                assert await names(client) == []
                assert (await call(client, "raw__echo"))["error"]["code"] == -32602
            assert up.calls == []


async def stopped(gate: TestGateway) -> dict[str, Any]:
    """Return the last outcome."""
    return dict(of_kind(await gate.settled(), "outcome")[-1])


@pytest.mark.requirement("mcp.cancel")
async def test_a_modern_caller_who_leaves_cancels_its_call_at_the_upstream(tmp_path: Path) -> None:
    hangs = Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"hangs": hangs}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            task = asyncio.ensure_future(call(client, "raw__hangs"))
            await hangs.reached.wait()
            task.cancel()
            await hangs.left.wait()
            assert (await stopped(gate))["status"] == "cancelled"
