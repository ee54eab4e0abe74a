"""Plain calls when an upstream has no connection to spare: they wait in line, as those of the long way do."""

from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from support.gateways import gateway
from support.raw_upstream import Gate, echo, raw_upstream
from support.scenes import FILES, check_books, of_kind, world
from support.two_ways import Connection, request, same, two_ways


async def test_an_upstream_without_a_free_connection_is_busy_both_ways(tmp_path: Path) -> None:
    gate = Gate()
    entry = ", max_connections: 1, max_waiting: 0"
    async with (
        raw_upstream({"gate": gate, "echo": echo}) as upstream,
        gateway(tmp_path, world([upstream.entry(more=entry)]), **FILES) as one,
        two_ways(one) as ways,
        Connection(ways.short) as holding,
        Connection(ways.short) as short,
        Connection(ways.long) as long,
    ):
        token = one.token("planner")
        with anyio.fail_after(30):
            await holding.send(request(token, "raw__gate"))
            await gate.reached.wait()
            said: list[bytes] = []
            for way in (short, long):
                await way.send(request(token))
                said.append(same(await way.answer()))
            gate.opened.set()
            assert b"200 OK" in await holding.answer()
        assert said[0] == said[1]
        assert b"upstream_busy" in said[0]
        assert upstream.count("echo") == 0
        records = await one.settled()
        check_books(records)
        assert [one["status"] for one in of_kind(records, "outcome")] == ["upstream_error", "upstream_error", "ok"]


@pytest.mark.requirement("mcp.cancel")
async def test_calls_wait_in_line_for_a_connection_and_may_leave_it(tmp_path: Path) -> None:
    gate = Gate()
    async with (
        raw_upstream({"gate": gate, "echo": echo}) as upstream,
        gateway(tmp_path, world([upstream.entry(more=", max_connections: 1")]), **FILES) as one,
        two_ways(one) as ways,
        Connection(ways.short) as holding,
        Connection(ways.short) as leaving,
        Connection(ways.short) as staying,
    ):
        token = one.token("planner")
        with anyio.fail_after(30):
            await holding.send(request(token, "raw__gate"))
            await gate.reached.wait()
            await leaving.send(request(token))
            await staying.send(request(token))
            while len(of_kind(await one.settled(), "decision")) < 3:
                await checkpoint()
            leaving.close()
            while not of_kind(await one.settled(), "outcome"):
                await checkpoint()
            gate.opened.set()
            assert b"200 OK" in await holding.answer()
            assert b"200 OK" in await staying.answer()
        assert upstream.count("echo") == 1
        records = await one.settled()
        check_books(records)
        assert [one["status"] for one in of_kind(records, "outcome")] == ["cancelled", "ok", "ok"]
