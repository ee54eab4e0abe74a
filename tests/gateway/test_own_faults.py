"""When the gateway itself fails inside a call: one error, a closed record, nothing kept back, the next call works."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from agent_gateway.pipeline.services import Services
from agent_gateway.ports import Charge, Hold, Ledger, McpUpstream, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.runtime.schemas import NeverValid
from agent_gateway.snapshot import Snapshot
from agent_gateway.upstreams.direct import Direct
from agent_gateway.upstreams.mcp_http import HttpUpstream
from gateway_policies.rates import RateKey, RateTable
from support.gateways import call, gateway, rpc
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, check_books, of_kind, world
from support.two_ways import Connection, request, same, two_ways

PURSE = "budgets: [{name: purse, scope: tenant, match: acme, unit: calls, limit: 2, window: total}]\n"


class Faulty:
    """Stands before an upstream, with a mistake in it that nobody foresaw."""

    def __init__(self, real: McpUpstream) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        raise KeyError("a mistake")


class FaultyDirect:
    """Stands before the short way to an upstream, with the same mistake."""

    def __init__(self, real: Direct) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def send(self, form: object, sending: object, *, timeout_s: float) -> None:
        raise KeyError("a mistake")


class FaultySchema(NeverValid):
    """A validator that fails instead of judging."""

    def is_valid(self, instance: object) -> bool:
        raise KeyError("a mistake")


def in_forward(snapshot: Snapshot) -> Snapshot:
    upstreams = {name: Faulty(one) for name, one in snapshot.upstreams.items()}
    return replace(snapshot, id="faulty", upstreams=upstreams)


def in_guard(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, id="faulty", validators=dict.fromkeys(snapshot.validators, FaultySchema("")))


@pytest.mark.requirement("audit.one-outcome")
@pytest.mark.parametrize(("fault", "left"), [(in_forward, 1), (in_guard, 2)])
async def test_a_fault_of_our_own_closes_the_call_and_costs_only_what_may_have_been_sent(
    tmp_path: Path, fault: Callable[[Snapshot], Snapshot], left: int
) -> None:
    async with (
        raw_upstream({"echo": echo}) as up,
        gateway(tmp_path, world([up.entry()], PURSE), **FILES) as gate,
        gate.client(gate.token("planner")) as client,
    ):
        sound = gate.worker.gateway.snapshot
        gate.worker.gateway.swap(fault(sound))
        failed = await rpc(client, "tools/call", {"name": "raw__echo", "arguments": {}})
        assert (failed.status_code, failed.json()["error"]["code"]) == (500, -32603)
        assert "KeyError" not in failed.text
        gate.worker.gateway.swap(sound)
        answers = [await call(client, "raw__echo") for _ in range(3)]
        assert ["result" in answer for answer in answers].count(True) == left
        records = await gate.settled()
        check_books(records)
        assert len(of_kind(records, "outcome")) == len(of_kind(records, "decision"))
        lost = [one for one in of_kind(records, "outcome") if one["status"] == "lost"]
        assert len(lost) == (1 if fault is in_forward else 0)
        assert not of_kind(records, "refusal")


class FaultyLedger:
    """Stands before the ledger, with a mistake where a call is held."""

    def __init__(self, real: Ledger) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def hold(self, call_id: str, charges: Sequence[Charge]) -> Hold | None:
        raise KeyError("a mistake")


class FaultyRates(RateTable):
    """Rates that fail instead of counting."""

    def take(self, keys: Sequence[RateKey], now_ns: int) -> None:
        raise KeyError("a mistake")


def in_ledger(services: Services) -> None:
    services.ledger = cast("Ledger", FaultyLedger(services.ledger))


def in_rates(services: Services) -> None:
    services.rates = FaultyRates()


@pytest.mark.requirement("audit.one-outcome")
@pytest.mark.parametrize("break_it", [in_ledger, in_rates])
async def test_a_fault_before_a_call_is_forwarded_is_one_denial_and_one_outcome(
    tmp_path: Path, break_it: Callable[[Services], None]
) -> None:
    rates = "rates: [{name: pace, scope: tenant, match: acme, per_second: 100, burst: 100}]\n"
    async with (
        raw_upstream({"echo": echo}) as up,
        gateway(tmp_path, world([up.entry()], PURSE + rates), **FILES) as gate,
        two_ways(gate) as ways,
        Connection(ways.short) as short,
        Connection(ways.long) as long,
    ):
        asked = request(gate.token("planner"))
        await short.send(asked)  # now its lane is warm
        assert b"200 OK" in await short.answer()
        services = gate.worker.gateway.services
        sound_ledger, sound_rates = services.ledger, services.rates
        before = len(await gate.settled())
        calls = len(up.calls)
        break_it(services)
        answers: list[bytes] = []
        for connection in (short, long):
            await connection.send(asked)
            answers.append(same(await connection.answer()))
        services.ledger, services.rates = sound_ledger, sound_rates
        assert answers[0] == answers[1]
        assert answers[0].startswith(b"HTTP/1.1 500")
        assert b"-32603" in answers[0]
        assert b"KeyError" not in answers[0]
        records = (await gate.settled())[before:]
        assert [one["kind"] for one in records] == ["decision", "outcome"] * 2
        assert {(one["effect"], one["code"]) for one in of_kind(records, "decision")} == {("forbid", "internal")}
        assert {(one["status"], one["code"]) for one in of_kind(records, "outcome")} == {("refused", "internal")}
        check_books(records)
        assert len(up.calls) == calls
        await long.send(asked)  # the purse holds two: nothing was kept back
        assert b"200 OK" in await long.answer()


@pytest.mark.requirement("audit.one-outcome")
async def test_a_fault_while_a_call_is_forwarded_is_answered_alike_on_both_ways(tmp_path: Path) -> None:
    async with (
        raw_upstream({"echo": echo}) as up,
        gateway(tmp_path, world([up.entry()], ""), **FILES) as gate,
        two_ways(gate) as ways,
        Connection(ways.short) as short,
        Connection(ways.long) as long,
    ):
        asked = request(gate.token("planner"))
        upstream = gate.worker.gateway.snapshot.upstreams["raw"]
        assert isinstance(upstream, HttpUpstream)
        upstream.direct = cast("Direct", FaultyDirect(upstream.direct))
        await short.send(asked)
        answers = [same(await short.answer())]
        gate.worker.gateway.swap(in_forward(gate.worker.gateway.snapshot))
        await long.send(asked)
        answers.append(same(await long.answer()))
        assert answers[0] == answers[1]
        assert answers[0].startswith(b"HTTP/1.1 500")
        assert b"-32603" in answers[0]
        assert b"KeyError" not in answers[0]
        records = await gate.settled()
        check_books(records)
        assert [one["kind"] for one in records] == ["decision", "outcome"] * 2
        outcomes = [(one["status"], one["code"]) for one in of_kind(records, "outcome")]
        assert outcomes == [("lost", "internal")] * 2
