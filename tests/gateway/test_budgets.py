"""Budgets, rates and concurrency, counted where it matters: at the upstream."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from support.gateways import TestGateway, call, gateway
from support.raw_upstream import Gate, definition, echo, raw_upstream
from support.scenes import FILES, check_books, of_kind, world
from support.tokens import Ticking

DAY = 86_400.0


def budget(name: str, scope: str, match: str, limit: int, unit: str = "calls", window: str = "total") -> str:
    return f"{{name: {name}, scope: {scope}, match: '{match}', unit: {unit}, limit: {limit}, window: {window}}}"


def budgets(*entries: str) -> str:
    return f"budgets: [{', '.join(entries)}]\n"


def reason(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a program may read of a refusal."""
    return answer["error"]["data"]["agent-gateway/refusal"]


async def held(gate: TestGateway) -> int:
    """Return what is held over all budgets, once all is booked."""
    await gate.settled()
    await gate.worker.books.ledger.flush()
    return sum(usage.held for usage in await gate.worker.books.ledger.usage())


@pytest.mark.requirement("budget.exact")
async def test_fifty_parallel_calls_on_a_budget_of_twenty_give_exactly_twenty(tmp_path: Path) -> None:
    more = budgets(budget("wide", "tenant", "acme", 1000), budget("purse", "capability", "raw__echo", 20))
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()], more), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            answers = await asyncio.gather(*(call(client, "raw__echo") for _ in range(50)))
            assert Counter("result" in one for one in answers) == {True: 20, False: 30}
            assert len(up.calls) == 20
            refusals = [reason(one) for one in answers if "error" in one]
            assert {one["code"] for one in refusals} == {"over_budget"}
            check_books(await gate.settled())
            assert await held(gate) == 0
            spent = {one.bucket: one.spent for one in await gate.worker.books.ledger.usage()}
            assert sorted(spent.values()) == [20, 20]  # a refused call took nothing from the wide one


@pytest.mark.requirement("budget.money", "budget.levels")
async def test_money_runs_out_at_every_level_by_the_price_of_the_tool(tmp_path: Path) -> None:
    more = budgets(
        budget("team", "team", "acme/research", 250, "micros"), budget("all", "tenant", "acme", 500, "micros")
    )
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()], more), **FILES) as gate,
            gate.client(gate.token("planner")) as planner,
            gate.client(gate.token("twin")) as twin,
        ):
            first = [await call(planner, "raw__echo") for _ in range(3)]
            assert ["result" in one for one in first] == [True, True, False]
            second = [await call(twin, "raw__echo") for _ in range(4)]
            assert ["result" in one for one in second] == [True, True, True, False]
            assert len(up.calls) == 5
            assert reason(first[2])["code"] == reason(second[3])["code"] == "over_budget"


@pytest.mark.requirement("budget.windows")
async def test_a_day_s_budget_is_there_again_the_next_day(tmp_path: Path) -> None:
    clock = Ticking()
    with anyio.fail_after(30):
        async with raw_upstream({"echo": echo}) as up:
            config = world([up.entry()], budgets(budget("daily", "agent", "*", 2, window="day")))
            async with gateway(tmp_path, config, clock, **FILES) as gate:
                for _ in range(2):
                    async with gate.client(gate.token("planner")) as client:
                        answers = [await call(client, "raw__echo") for _ in range(3)]
                        assert ["result" in one for one in answers] == [True, True, False]
                        assert 0 < reason(answers[2])["retry_after_s"] <= DAY
                    clock.now += DAY
            assert len(up.calls) == 4


@pytest.mark.requirement("rate.retry-after")
async def test_a_call_that_comes_too_soon_is_told_when_to_come_again(tmp_path: Path) -> None:
    more = "rates: [{name: slow, scope: agent, match: '*', per_second: 0.01, burst: 3}]\n"
    with anyio.fail_after(30):
        async with (
            raw_upstream({"echo": echo}) as up,
            gateway(tmp_path, world([up.entry()], more), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
            gate.client(gate.token("twin")) as other,
        ):
            answers = [await call(client, "raw__echo") for _ in range(5)]
            assert ["result" in one for one in answers] == [True] * 3 + [False] * 2
            assert 0 < reason(answers[3])["retry_after_s"] <= 100
            assert "result" in await call(other, "raw__echo")
            assert len(up.calls) == 4


@pytest.mark.requirement("limits.concurrency")
async def test_a_caller_with_too_much_running_is_refused_and_others_are_not(tmp_path: Path) -> None:
    slow = Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"slow": slow, "echo": echo}) as up,
            gateway(tmp_path, world([up.entry()], "limits: {concurrency_per_principal: 2}\n"), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
            gate.client(gate.token("twin")) as other,
        ):
            both = [asyncio.ensure_future(call(client, "raw__slow")) for _ in range(2)]
            while len(up.calls) < 2:
                await slow.reached.wait()
                await checkpoint()
            refused = await call(client, "raw__echo")
            assert (reason(refused)["code"], reason(refused)["retry_after_s"]) == ("over_concurrency", 1)
            assert "result" in await call(other, "raw__echo")
            slow.opened.set()
            assert ["result" in one for one in await asyncio.gather(*both)] == [True, True]
            assert "result" in await call(client, "raw__echo")
            check_books(await gate.settled())


@pytest.mark.requirement("budget.held-is-freed")
async def test_a_hold_is_freed_when_the_call_is_refused_and_when_its_caller_leaves(tmp_path: Path) -> None:
    hangs = Gate()
    strict = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with anyio.fail_after(30):
        async with (
            raw_upstream({"hangs": hangs}, [definition("hangs"), definition("strict", strict)]) as up,
            gateway(tmp_path, world([up.entry()], budgets(budget("purse", "tenant", "acme", 3))), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            for _ in range(5):
                assert reason(await call(client, "raw__strict"))["code"] == "invalid_arguments"
            assert await held(gate) == 0
            leaving = asyncio.ensure_future(call(client, "raw__hangs"))
            await hangs.reached.wait()
            leaving.cancel()
            await hangs.left.wait()
            assert await held(gate) == 0
            answers = [await call(client, "raw__strict", {"n": 1}) for _ in range(3)]
            assert ["result" in one for one in answers] == [True, True, False]  # what was sent was charged
            assert [one["settled"][0][2] for one in of_kind(await gate.settled(), "outcome") if one["settled"]] == [
                1,
                1,
                1,
            ]
