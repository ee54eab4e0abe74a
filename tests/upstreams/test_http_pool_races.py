"""The HTTP pool where two things happen at once: hand-over and cancel, connect and close, age and use."""

import asyncio
from collections.abc import Sequence
from socket import AF_INET, AddressFamily

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agent_gateway.egress.resolve import EgressRules
from agent_gateway.ports import HttpRequest
from agent_gateway.upstreams.http_pool import MAX_ORIGINS, HttpPool, PoolSettings
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from support.raw_http import JSON_OK, Peer, answers, raw_server

ONE = PoolSettings(rules=EgressRules(allow_private=True), max_connections=1, tick_s=0.01)


async def get(client: HttpPool, url: str) -> bytes:
    return await (await client.send(HttpRequest("GET", url, ()), timeout_s=5)).read(10)


@pytest.mark.parametrize("closes", [False, True], ids=["a connection", "a place"])
async def test_what_was_handed_to_a_waiter_that_is_gone_goes_to_the_next(closes: bool) -> None:
    gate = anyio.Event()

    async def behave(peer: Peer) -> None:
        while (await peer.request())[0]:
            await gate.wait()
            await peer.say(JSON_OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") if closes else JSON_OK)

    async with raw_server(behave) as server:
        client = HttpPool(ONE)
        with anyio.fail_after(10):
            first = asyncio.create_task(get(client, server.url()))
            while not server.peers:
                await checkpoint()
            waiting = [asyncio.create_task(get(client, server.url())) for _ in range(3)]
            await checkpoint()
            first.add_done_callback(lambda _: waiting[0].cancel())  # in the very step of the hand-over
            gate.set()
            assert await first == b"{}"
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
            assert [await task for task in waiting[1:]] == [b"{}", b"{}"]
        await client.aclose()


async def test_random_cancels_never_lose_a_place() -> None:
    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(PoolSettings(rules=EgressRules(allow_private=True), max_connections=2, tick_s=0.01))
        with anyio.fail_after(20):
            for round_number in range(60):
                tasks = [asyncio.create_task(get(client, server.url())) for _ in range(6)]
                for _ in range(round_number % 12):
                    await checkpoint()
                for task in tasks[:: 1 + round_number % 3]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await asyncio.gather(*[get(client, server.url()) for _ in range(6)]) == [b"{}"] * 6
        await client.aclose()


async def test_a_resolver_that_hangs_is_unreachable_in_time() -> None:
    async def hang(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await anyio.sleep_forever()
        return []

    client = HttpPool(PoolSettings(connect_timeout_s=0.05), getaddrinfo=hang)
    with pytest.raises(UpstreamUnreachable) as refusal:
        await get(client, "http://slow.example/")
    assert refusal.value.code == "upstream_unreachable"
    await client.aclose()


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    async def two(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        return [(AF_INET, "127.0.0.2"), (AF_INET, "127.0.0.1")]

    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(ONE, getaddrinfo=two)
        assert await get(client, f"http://two.example:{server.port}/") == b"{}"
        await client.aclose()


async def test_a_pool_closed_while_it_connects_leaves_no_connection() -> None:
    gate = anyio.Event()

    async def slow(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await gate.wait()
        return [(AF_INET, "127.0.0.1")]

    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(ONE, getaddrinfo=slow)
        first = asyncio.create_task(get(client, f"http://a.example:{server.port}/"))
        second = asyncio.create_task(get(client, f"http://a.example:{server.port}/"))
        await checkpoint()
        await client.aclose()
        gate.set()
        for task in (first, second):
            with pytest.raises(UpstreamFailed):
                await task
        assert client.connection_count == 0


async def test_an_idle_connection_beyond_its_age_is_not_used() -> None:
    settings = PoolSettings(rules=EgressRules(allow_private=True), max_idle_s=0.0, tick_s=60)
    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(settings)
        for _ in range(3):
            assert await get(client, server.url()) == b"{}"
        assert len(server.peers) == 3
        await client.aclose()


async def test_an_upstream_cannot_have_origins_without_end() -> None:
    client = HttpPool(PoolSettings(connect_timeout_s=1))
    codes: set[str] = set()
    for port in range(1, MAX_ORIGINS + 3):
        with pytest.raises(UpstreamUnreachable) as refusal:
            await get(client, f"http://127.0.0.1:{port}/")
        codes.add(refusal.value.code)
    assert codes == {"egress_denied", "upstream_busy"}
    await client.aclose()
