"""A legacy client that loses its connection comes back for what it missed; nobody else gets it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest

from agent_gateway.runtime.event_log import KEEP_S, MAX_EVENTS, EventLog, parse_event_id
from support.asker import asker
from support.gateways import gateway
from support.legacy_client import initialize, legacy_body, legacy_headers
from support.raw_upstream import Gate, raw_upstream
from support.scenes import FILES, check_books, of_kind, world
from support.upstreams import FakeClock

Event = tuple[str, dict[str, Any] | None]


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    """Yield (id, message) of each event; the message is None where there is only an id."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("id:"):
            name = line[3:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()
            yield name, (msgspec.json.decode(data) if data else None)


async def first_of(client: httpx2.AsyncClient, session: str, last_id: str) -> Event:
    """Come back after `last_id` and return the next event."""
    headers = {**legacy_headers(session), "accept": "text/event-stream", "last-event-id": last_id}
    async with client.stream("GET", "/mcp", headers=headers) as response:
        assert response.status_code == 200
        async for event in events(response):
            return event
    raise AssertionError("the stream ended")


async def begin(client: httpx2.AsyncClient, session: str, gate: Gate) -> str:
    """Call a tool, lose the connection while it works, and return the id of the last event that came."""
    body = legacy_body("tools/call", {"name": "raw__slow", "arguments": {}}, 7)
    async with client.stream("POST", "/mcp", content=body, headers=legacy_headers(session)) as response:
        await gate.reached.wait()
        async for name, message in events(response):
            assert message is None
            return name
    raise AssertionError("the stream ended")


@pytest.mark.requirement("mcp.resuming")
async def test_an_answer_waits_for_the_client_that_lost_its_connection_and_for_no_other(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(60):
        async with (
            raw_upstream({"slow": gate}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner"), lingers=True) as client,
            front.client(front.token("twin")) as other,
        ):
            session, theirs, second = await initialize(client), await initialize(other), await initialize(client)
            last_id = await begin(client, session, gate)
            gate.opened.set()
            name, answer = await first_of(client, session, last_id)
            assert answer is not None
            assert (answer["id"], answer["result"]["content"][0]["text"]) == (7, "slow")
            assert parse_event_id(name) is not None
            assert await nothing_comes(other, theirs, last_id)
            assert await nothing_comes(client, second, last_id)  # another session of the same caller
            [outcome] = of_kind(await front.settled(), "outcome")
            assert outcome["status"] == "ok"
            assert (await client.delete("/mcp", headers=legacy_headers(session))).status_code == 204
            assert len(front.worker.gateway.events) == 0
            check_books(await front.settled())


async def nothing_comes(client: httpx2.AsyncClient, session: str, last_id: str) -> bool:
    """Say that this session gets no event for that id: it has a standing stream like any other."""
    with anyio.move_on_after(0.5) as waiting:
        await first_of(client, session, last_id)
    return waiting.cancelled_caught


async def test_a_stream_still_running_is_followed_to_its_end(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(60):
        async with (
            raw_upstream({"slow": gate}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner"), lingers=True) as client,
        ):
            session = await initialize(client)
            last_id = await begin(client, session, gate)
            following = asyncio.ensure_future(first_of(client, session, last_id))
            assert not gate.left.is_set()  # leaving is not cancelling
            gate.opened.set()
            assert (await following)[1] is not None


@pytest.mark.requirement("mcp.resuming")
async def test_a_client_is_let_go_when_the_server_lets_the_gateway_go_and_comes_back_for_the_rest(
    tmp_path: Path,
) -> None:
    body = legacy_body("tools/call", {"name": "asker__rest", "arguments": {}}, 7)
    with anyio.fail_after(60):
        async with (
            asker(rests=frozenset({"rest"})) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner"), lingers=True) as client,
        ):
            session = await initialize(client)
            async with client.stream("POST", "/mcp", content=body, headers=legacy_headers(session)) as response:
                seen = [event async for event in events(response)]
            [(last_id, nothing)] = seen
            assert nothing is None
            name, answer = await first_of(client, session, last_id)
            assert answer is not None
            assert (answer["id"], answer["result"]["content"][0]["text"]) == (7, "the rest")
            assert name != last_id
            check_books(await front.settled())


@pytest.mark.requirement("mcp.resuming")
async def test_a_list_comes_as_a_stream_to_a_session_that_would_rather_have_one(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with (
            raw_upstream({"slow": Gate()}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as front,
            front.client(front.token("planner")) as client,
        ):
            session = await initialize(client)
            for accept, kind in (
                ("text/event-stream, application/json", "text/event-stream"),
                ("application/json, text/event-stream", "application/json"),
                ("application/json", "application/json"),
                ("*/*", "application/json"),
            ):
                headers = {**legacy_headers(session), "accept": accept}
                response = await client.post("/mcp", content=legacy_body("tools/list"), headers=headers)
                assert response.headers["content-type"] == kind
                assert "raw__slow" in response.text


def test_a_log_keeps_within_its_bounds_and_for_a_time() -> None:
    clock = FakeClock()
    log = EventLog("3", clock)
    stream = log.open("session")
    ids = [log.add(stream, b"x") for _ in range(MAX_EVENTS + 5)]
    assert ids[-1] == f"3.1.{MAX_EVENTS + 5}"
    assert len(stream.after(0)) == MAX_EVENTS
    assert stream.after(MAX_EVENTS + 4) == [(MAX_EVENTS + 5, b"x")]
    assert log.find("session", "3.1") is stream
    assert log.find("another", "3.1") is None
    log.end(stream)
    clock.now += KEEP_S + 1
    log.expire()
    assert len(log) == 0
    for _ in range(100):
        log.open("session")
    assert len(log) == 64
    log.forget_session("session")
    assert len(log) == 0


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "a.2.3", "1.2.-3", "1.2.3x", "9" * 20 + ".1.1"])
def test_an_event_id_that_is_not_ours_is_none(text: str) -> None:
    assert parse_event_id(text) is None
