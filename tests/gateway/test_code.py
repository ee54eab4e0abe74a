"""Code that composes calls: in a sandbox with bounds, and each call as governed as if it had been sent."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from agent_gateway.code_mode.code_run import CallFailed, CodeLimits, CodeOutcome, CodeRunner
from gateway_policies.refusal import TooMuch
from support.gateways import rpc
from support.market import Market, market

CODED = 'toolsets: {few: {include: ["shop__*"], compact: true, code: true}}\n'
SEARCH = "shop__search_items_items_get"
ORDER = "shop__create_order_orders_post"


async def run(here: Market, code: object, path: str = "/mcp/few") -> dict[str, Any]:
    async with here.gateway.client(here.gateway.token("planner", path)) as client:
        params = {"name": "run_code", "arguments": {"code": code}}
        with anyio.fail_after(90):
            answer: dict[str, Any] = (await rpc(client, "tools/call", params, path=path)).json()
    return answer.get("result", answer)


@pytest.mark.requirement("mesh.code-mode")
async def test_code_composes_governed_calls(tmp_path: Path) -> None:
    async with market(tmp_path, CODED) as here:
        found = await run(here, f"""
import asyncio
things = await asyncio.gather(*[call("{SEARCH}", {{"q": q, "limit": 1}}) for q in ("thing 3", "thing 5")])
order = await call("{ORDER}", {{"sku": things[0]["items"][0]["sku"], "count": 2}})
print("ordered", order["id"])
{{"names": [one["items"][0]["name"] for one in things], "order": order["id"]}}
""")  # fmt: skip
        assert found["structuredContent"] == {
            "result": {"names": ["Thing 3", "Thing 5"], "order": 1}, "printed": "ordered 1\n",
        }  # fmt: skip
        assert here.shop.orders[1]["count"] == 2
        records = [one for one in await here.gateway.settled() if one["kind"] == "decision"]
        run_of = next(one for one in records if one["operation"] == "run_code")
        steps = [one for one in records if one.get("parent") == run_of["call"]]
        assert sorted(one["capability"]["name"] for one in steps) == sorted([SEARCH, SEARCH, ORDER])
        assert all(one["charges"] for one in steps)


@pytest.mark.requirement("mesh.code-mode")
async def test_code_may_no_more_than_its_caller(tmp_path: Path) -> None:
    async with market(tmp_path, CODED) as here:
        told = await run(here, f"""
said = []
for name, arguments in (
    ("shop__delete_order_orders_order_id_delete", {{"order_id": 1}}), ("shop__none", {{}}),
    ("run_code", {{"code": "1"}}),
    ("{ORDER}", {{"sku": "s1", "count": 6}}), ("{SEARCH}", {{"limit": "two"}}), ("{SEARCH}", {{"evil": 1}}),
):
    try:
        await call(name, arguments)
        said.append("done")
    except RuntimeError as why:
        said.append(str(why)[:20])
said
""")  # fmt: skip
        assert told["structuredContent"]["result"] == [
            "no tool `shop__delet", "no tool `shop__none`", "no tool `run_code` h", "`shop__create_order_",
            "the arguments do not", "the arguments do not",
        ]  # fmt: skip
        assert here.shop.asked == []
        spent = await run(here, f'[await call("{SEARCH}", {{"limit": 1}}) for _ in range(40)]')
        assert spent["isError"] is True
        assert "budget" in spent["content"][0]["text"]
        assert len(here.shop.asked) <= 20


async def test_code_is_there_only_where_it_is_opened(tmp_path: Path) -> None:
    toolsets = 'toolsets: {few: {include: ["shop__*"], compact: true}, all: {include: ["shop__*"], code: true}}\n'
    async with market(tmp_path, toolsets) as here:
        for path in ("/mcp/few", "/mcp/all", "/mcp"):
            assert (await run(here, "1", path))["error"]["message"].startswith("no tool `run_code`")


@pytest.mark.requirement("mesh.code-mode")
async def test_code_sends_no_arguments_that_a_caller_could_not(tmp_path: Path) -> None:
    async with market(tmp_path, CODED) as here:
        told = await run(here, f"""
deep = 1
for _ in range(3000):
    deep = [deep]
try:
    await call("{SEARCH}", {{"q": deep}})
except RuntimeError as why:
    told = str(why)
told
""")  # fmt: skip
        assert told["structuredContent"]["result"] == "the body is nested deeper than 64 levels"
        assert here.shop.asked == []


async def test_what_is_no_code_is_refused(tmp_path: Path) -> None:
    async with market(tmp_path, CODED) as here:
        for wrong in (5, "", "x" * 30_000):
            assert (await run(here, wrong))["error"]["code"] == -32602


# --- the sandbox -----------------------------------------------------------------------------


async def nothing(name: str, arguments: Mapping[str, object]) -> object:
    if name == "fails":
        raise CallFailed("it failed")
    return {"name": name, **arguments}


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


SMALL = CodeLimits(wall_s=30, cpu_s=1, memory_bytes=16 * 1024 * 1024, calls=5, printed_bytes=500)


@pytest.mark.requirement("mesh.code-mode")
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("while True: pass", "time limit"),
        ("'x' * 10**9", "memory limit"),
        ("x = []\nwhile True: x.append('y' * 1000)", "limit"),
        ("def f(): return f()\nf()", "recursion"),
        ("for _ in range(99): await call('a')", "more than 5 calls|limit 5"),
        ("await call('fails')", "it failed"),
        ("await call(5)", "takes the name of a tool"),
        ("await call('a', [1])", "takes the name of a tool"),
        ("print('x' * 5000)", "memory limit"),
        ("1 +", "cannot be read"),
        ("open('/etc/passwd').read()", "denied|not supported"),
        ("import os\nos.environ['PATH']", "not supported|denied"),
        ("import subprocess", "No module named"),
        ("import socket", "No module named"),
        ("__import__('os')", "not defined"),
        ("call.__globals__", "attribute"),
        ("().__class__.__bases__", "attribute"),
        ("{1, 2}", "no JSON"),
        ("float('nan')", "no JSON"),
    ],
)
async def test_a_run_stays_within_its_bounds(code: str, why: str) -> None:
    before = children()
    outcome = await CodeRunner(SMALL).run(code, nothing)
    assert any(part.lower() in outcome.failure.lower() for part in why.split("|")), outcome
    assert children() == before


async def test_a_run_that_waits_for_ever_ends_with_its_children() -> None:
    async def never(name: str, arguments: Mapping[str, object]) -> object:
        del name, arguments
        return await asyncio.Event().wait()

    before = children()
    outcome = await CodeRunner(CodeLimits(wall_s=2)).run("await call('a')", never)
    assert outcome == CodeOutcome(failure="the run takes more than 2 seconds")
    started = asyncio.Event()

    async def slow(name: str, arguments: Mapping[str, object]) -> object:
        started.set()
        return await never(name, arguments)

    runner = CodeRunner(CodeLimits(runs=1))
    running = asyncio.ensure_future(runner.run("await call('a')", slow))
    with anyio.fail_after(60):
        await started.wait()
    with pytest.raises(TooMuch):
        await runner.run("1", nothing)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert children() == before
    assert await runner.run("import time\ntime.sleep(1000)\n1 + 1", nothing) == CodeOutcome(2)


@pytest.mark.requirement("mesh.code-mode")
async def test_one_caller_leaves_runs_to_others() -> None:
    started = [asyncio.Event() for _ in range(3)]
    release = asyncio.Event()

    async def waits(name: str, arguments: Mapping[str, object]) -> object:
        started[int(name)].set()
        await release.wait()
        return arguments

    runner = CodeRunner(CodeLimits(runs=3, runs_per_caller=2))
    running = [asyncio.ensure_future(runner.run(f"await call('{at}')", waits, "greedy")) for at in range(2)]
    with anyio.fail_after(60):
        await started[0].wait()
        await started[1].wait()
        with pytest.raises(TooMuch):
            await runner.run("1", waits, "greedy")
        other = asyncio.ensure_future(runner.run("await call('2')", waits, "modest"))
        await started[2].wait()
        release.set()
        assert [one.failure for one in await asyncio.gather(*running, other)] == ["", "", ""]
        assert await runner.run("1", waits, "greedy") == CodeOutcome(1)


async def test_a_call_that_fails_inside_the_gateway_is_not_waited_for() -> None:
    async def broken(name: str, arguments: Mapping[str, object]) -> object:
        raise KeyError(name, arguments)

    code = "try:\n    await call('a')\nexcept RuntimeError as why:\n    told = str(why)\ntold"
    with anyio.fail_after(60):
        outcome = await CodeRunner(CodeLimits(wall_s=500)).run(code, broken)
    assert outcome == CodeOutcome("the gateway failed on this call")


async def test_an_answer_that_is_too_large_is_told_and_not_waited_for() -> None:
    async def giant(name: str, arguments: Mapping[str, object]) -> object:
        del arguments
        return "x" * 9_000_000 if name == "giant" else "small"

    code = """
try:
    await call("giant")
except RuntimeError as why:
    told = str(why)
[told, await call("small")]
"""
    outcome = await CodeRunner(CodeLimits(wall_s=30)).run(code, giant)
    assert outcome == CodeOutcome(["the tool's answer is too large for code", "small"])
    sent = await CodeRunner(CodeLimits(wall_s=30)).run("await call('a' * 9_000_000)", giant)
    assert sent.failure == "the sandbox broke off"
