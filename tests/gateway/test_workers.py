"""Two workers behind one port: one budget, one set of sessions, one sum of metrics, one end."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from support.legacy_client import legacy_body, legacy_headers
from support.processes import Died, Process, Wire, process
from support.raw_upstream import Gate, echo, raw_upstream
from support.scenes import check_books, of_kind, world

OPEN = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


def purse(limit: int) -> str:
    return f"budgets: [{{name: purse, scope: tenant, match: acme, unit: calls, limit: {limit}, window: total}}]\n"


async def post(gate: Process, wire: Wire, body: bytes, session: str = "") -> tuple[int, bytes]:
    """Post one legacy message."""
    headers = legacy_headers(session) if session else {"content-type": "application/json", "accept": "*/*"}
    return await wire.ask("POST", "/mcp", body, {**headers, "authorization": f"Bearer {gate.token}"})


@pytest.mark.requirement("invariant.no-overspend", "workers.one-gateway", "config.hot-reload")
async def test_two_workers_are_one_gateway(tmp_path: Path) -> None:
    limit = 150
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo}) as up,
            process(tmp_path, world([up.entry()], purse(limit)), workers=2) as gate,
        ):
            await gate.start()
            wires = [await gate.connect() for _ in range(24)]
            done: list[int] = []

            async def spend(wire: Wire) -> None:
                count = 0
                while "result" in (answer := await gate.call(wire, "raw__echo")):
                    count += 1
                assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "over_budget"
                done.append(count)

            async with anyio.create_task_group() as group:
                for wire in wires:
                    group.start_soon(spend, wire)
            assert sum(done) == len(up.calls) == limit
            while await counted(gate) < limit:  # workers book what they counted now and then
                pass
            assert await counted(gate) == limit

            # a session of one worker is at home in every other
            sessions = [await initialize(gate, wire) for wire in wires[:8]]
            for session in sessions[:2]:
                for wire in wires:
                    assert (await post(gate, wire, legacy_body("tools/list"), session))[0] == 200

            # SIGHUP reaches every worker
            assert gate.child
            (tmp_path / "main.cedar").write_text("// nothing is permitted\n")
            gate.child.send_signal(signal.SIGHUP)
            for wire in wires:
                while True:
                    error = (await gate.call(wire, "raw__echo"))["error"]
                    if error["code"] == -32602:
                        break
                    assert error["code"] == -32006
            assert await gate.stop() == 0
            records = gate.records()
            check_books(records)
            assert len([one for one in of_kind(records, "outcome") if one["status"] == "ok"]) == limit
            assert len(list(gate.data.audit.glob("*.db"))) == 2
            assert gate.verify().is_ok
            assert list(gate.spent().values()) == [limit]


async def counted(gate: Process) -> float:
    """Return how many calls the metrics of all workers tell of."""
    _, metrics = await gate.get("/metrics")
    found = re.search(rb'agent_gateway_calls_total\{status="ok",upstream="raw"\} (\S+)', metrics)
    return float(found[1]) if found else 0.0


async def initialize(gate: Process, wire: Wire) -> str:
    """Open a session and return its id."""
    body = legacy_body("initialize", OPEN)
    fields = {
        "host": "localhost",
        "content-type": "application/json",
        "accept": "*/*",
        "authorization": f"Bearer {gate.token}",
        "content-length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    wire.writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body)
    answer = await wire.reader.readuntil(b"\r\n\r\n")
    told = dict(line.split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
    await wire.reader.readexactly(int(told[b"content-length"]))
    return told[b"mcp-session-id"].decode()


@pytest.mark.requirement("workers.drain")
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_gateway_that_is_told_to_end_lets_calls_finish_and_lets_go_of_standing_streams(
    tmp_path: Path, workers: int
) -> None:
    slow = Gate()
    with anyio.fail_after(25):  # the drain limit is 30 s: nothing here may need it
        async with raw_upstream({"slow": slow}) as up, process(tmp_path, world([up.entry()]), workers) as gate:
            await gate.start()
            wire, standing = await gate.connect(), await gate.connect()
            session = await initialize(gate, standing)
            fields = {"host": "localhost", "authorization": f"Bearer {gate.token}", **legacy_headers(session)}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            standing.writer.write(f"GET /mcp HTTP/1.1\r\n{head}\r\n".encode())
            assert b"200" in await standing.reader.readuntil(b"\r\n")
            running = asyncio.ensure_future(gate.call(wire, "raw__slow"))
            await slow.reached.wait()
            ending = asyncio.ensure_future(gate.stop())
            await standing.reader.read()  # the stream ends while the call still runs
            assert not running.done()
            slow.opened.set()
            assert (await running)["result"]["content"]
            assert await ending == 0
            check_books(gate.records())
            assert "Traceback" not in gate.log()


@pytest.mark.requirement("workers.restart")
async def test_a_worker_that_dies_is_replaced_and_its_money_is_found_again(tmp_path: Path) -> None:
    limit = 60
    with anyio.fail_after(60):
        async with (
            raw_upstream({"echo": echo}) as up,
            process(tmp_path, world([up.entry()], purse(limit)), workers=2) as gate,
        ):
            await gate.start()
            wire = await gate.connect()
            assert "result" in await gate.call(wire, "raw__echo")
            assert gate.kill_workers() == 2
            wire = await again(gate)
            count = 1
            while "result" in (answer := await gate.call(wire, "raw__echo")):
                count += 1
            assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "over_budget"
            assert count == len(up.calls) == limit
            assert await gate.stop() == 0
            assert gate.verify().is_ok


async def again(gate: Process) -> Wire:
    """Return a connection to a worker that answers."""
    while True:
        wire = await gate.connect()
        try:
            async with asyncio.timeout(10):
                await gate.call(wire, "raw__nothing")
        except (OSError, TimeoutError, Died):
            wire.close()
            continue
        return wire


@pytest.mark.requirement("workers.one-gateway")
async def test_workers_asked_for_on_the_command_line_share_the_rates(tmp_path: Path) -> None:
    rates = "rates: [{name: slow, scope: agent, match: '*', per_second: 0.001, burst: 10}]\n"
    with anyio.fail_after(60):
        async with raw_upstream({"echo": echo}) as up, process(tmp_path, world([up.entry()], rates), workers=2) as gate:
            await gate.start()
            for wire in [await gate.connect() for _ in range(40)]:
                answer = await gate.call(wire, "raw__echo")
                assert "result" in answer or answer["error"]["code"] == -32005
            assert 0 < len(up.calls) <= 10
            assert await gate.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
async def test_workers_end_with_a_supervisor_that_was_killed_and_the_port_is_free_again(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with process(tmp_path, world([], ""), workers=2) as gate:
            await gate.start()
            assert gate.child is not None
            workers = psutil.Process(gate.child.pid).children()
            assert len(workers) == 2
            gate.child.kill()
            await gate.ended()
            await anyio.to_thread.run_sync(psutil.wait_procs, workers, 30)
            assert not any(worker.is_running() for worker in workers)
            await gate.start()
            assert await gate.stop() == 0
