"""When the gateway itself fails inside a call: one error, a closed record, nothing kept back, the next call works."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent_gateway.ports import McpUpstream, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.runtime.schemas import NeverValid
from agent_gateway.snapshot import Snapshot
from support.gateways import call, gateway, rpc
from support.raw_upstream import echo, raw_upstream
from support.scenes import FILES, check_books, of_kind, world

PURSE = "budgets: [{name: purse, scope: tenant, match: acme, unit: calls, limit: 2, window: total}]\n"


class Faulty:
    """Stands before an upstream, with a mistake in it that nobody foresaw."""

    def __init__(self, real: McpUpstream) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
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
