"""Of what never reaches an app there is a record too; SIGHUP reloads one worker, an operator all of them."""

import base64
import re
import signal
from pathlib import Path

import anyio
import msgspec
import pytest

from support.processes import Process, process
from support.scenes import PLANNER_SECRET, of_kind, world

LARGE = b"GET / HTTP/1.1\r\nhost: localhost\r\nx-large: " + b"a" * 40_000
REFUSED = {
    "headers_too_large": (LARGE, b"HTTP/1.1 431"),
    "bad_http": (b"\x16\x03\x01 this is no HTTP\r\n\r\n", b"HTTP/1.1 400"),
    "not_found": (b"GET /nothing/here HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", b"HTTP/1.1 404"),
    "bad_host": (b"GET /nothing/here HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n", b"HTTP/1.1 421"),
}


async def served_reloads(gate: Process) -> float:
    """Return how many reloads all workers together have served."""
    _, metrics = await gate.get("/metrics")
    found = re.search(rb'agent_gateway_reloads_total\{result="served"\} (\S+)', metrics)
    return float(found[1]) if found else 0.0


async def until_reloaded(gate: Process, count: int) -> None:
    while await served_reloads(gate) < count:
        await anyio.lowlevel.checkpoint()


@pytest.mark.requirement("config.hot-reload", "audit.edge-refusals")
async def test_one_worker_reloads_on_sighup_and_records_what_it_refuses_at_the_edge(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        async with process(tmp_path, world([])) as gate:
            await gate.start()
            assert gate.child
            gate.child.send_signal(signal.SIGHUP)  # nothing changed on disk: only the signal asks for it
            await until_reloaded(gate, 1)
            for raw, expected in REFUSED.values():
                wire = await gate.connect()
                wire.writer.write(raw)
                assert (await wire.reader.read()).startswith(expected)
            assert await gate.stop() == 0
            recorded = [(record["code"], record["status"]) for record in of_kind(gate.records(), "refusal")]
            assert recorded == [(code, int(expected[9:])) for code, (_, expected) in REFUSED.items()]
            assert gate.verify().is_ok


@pytest.mark.requirement("workers.one-gateway")
async def test_an_operators_reload_reaches_every_worker(tmp_path: Path) -> None:
    with anyio.fail_after(120):
        async with process(tmp_path, world([], "admins: [{agent: planner}]\n"), workers=2) as gate:
            await gate.start()
            token = await _operator_token(gate)
            wire = await gate.connect(gate.admin_port)
            status, body = await wire.ask("POST", "/v1/reload", b"", {"authorization": f"Bearer {token}"})
            assert status == 200, body
            await until_reloaded(gate, 2)
            assert await gate.stop() == 0


async def _operator_token(gate: Process) -> str:
    basic = base64.b64encode(f"planner:{PLANNER_SECRET}".encode()).decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
    form = f"grant_type=client_credentials&resource=http://127.0.0.1:{gate.admin_port}"
    wire = await gate.connect()
    status, body = await wire.ask("POST", "/oauth/token", form.encode(), headers)
    assert status == 200, body
    return msgspec.json.decode(body)["access_token"]
