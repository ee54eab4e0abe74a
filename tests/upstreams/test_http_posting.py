"""Requests sent by callback: they stand in one line with tasks, and each ends in one answer or one failure."""

import asyncio
from collections.abc import Sequence
from socket import AF_INET, AddressFamily

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agent_gateway.upstreams.h1 import H1Connection
from agent_gateway.upstreams.h1_request import payload_of, target_of
from agent_gateway.upstreams.h1_response import H1Response
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings
from agent_gateway.upstreams.http_posting import Posting
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from support.http_pools import LOCAL, pool, post
from support.raw_http import JSON_OK, Peer, answers, raw_server

ONE = PoolSettings(rules=LOCAL, max_connections=1, tick_s=0.01)


class Sent:
    """A request that was posted, and what came of it."""

    connection: H1Connection | None = None
    posting: Posting | None = None

    def __init__(self, client: HttpPool, url: str, name: bytes = b"", timeout_s: float = 5.0) -> None:
        self.has_left = False
        self.ended = anyio.Event()
        self.outcome: H1Response | UpstreamFailed | None = None
        target = target_of(url)
        client.post(target, payload_of(post(url, name), target), self, timeout_s=timeout_s)

    def done(self) -> bool:
        return self.has_left or self.outcome is not None

    def set_result(self, response: H1Response, /) -> None:
        self.outcome = response
        self.ended.set()

    def set_exception(self, failure: UpstreamFailed, /) -> None:
        assert self.outcome is None
        self.outcome = failure
        self.ended.set()

    def leave(self) -> None:
        self.has_left = True
        if self.posting is not None:
            self.posting.withdraw()

    async def answer(self) -> bytes:
        await self.ended.wait()
        assert isinstance(self.outcome, H1Response)
        return await self.outcome.read(100)

    async def failure(self) -> UpstreamFailed:
        await self.ended.wait()
        assert isinstance(self.outcome, UpstreamFailed)
        return self.outcome


async def test_a_posting_opens_a_connection_and_the_next_one_uses_it() -> None:
    async with raw_server(answers(JSON_OK)) as server, pool() as client:
        assert await Sent(client, server.url()).answer() == b"{}"
        again = Sent(client, server.url())
        assert again.connection is not None  # written at once
        assert await again.answer() == b"{}"
        assert len(server.peers) == 1


async def test_postings_and_tasks_are_served_in_the_order_in_which_they_came() -> None:
    gate = anyio.Event()
    served: list[bytes] = []

    async def behave(peer: Peer) -> None:
        while (asked := await peer.request())[0]:
            served.append(asked[2])
            await gate.wait()
            await peer.say(JSON_OK)

    async with raw_server(behave) as server, pool(ONE) as client:
        first = Sent(client, server.url(), b"0")
        while not served:
            await checkpoint()
        posted = Sent(client, server.url(), b"1")
        task = asyncio.create_task(client.send(post(server.url(), b"2"), timeout_s=5))
        await checkpoint()
        last = Sent(client, server.url(), b"3")
        gate.set()
        assert [await first.answer(), await posted.answer(), await (await task).read(10)] == [b"{}"] * 3
        assert await last.answer() == b"{}"
        assert served == [b"0", b"1", b"2", b"3"]
        assert len(server.peers) == 1


async def test_a_posting_beyond_the_line_is_refused_at_once() -> None:
    async def behave(peer: Peer) -> None:
        await peer.until_closed()

    settings = PoolSettings(rules=LOCAL, max_connections=1, max_waiting=1, tick_s=0.01)
    async with raw_server(behave) as server, pool(settings) as client:
        Sent(client, server.url())
        waiting = Sent(client, server.url())
        with pytest.raises(UpstreamUnreachable) as refusal:
            Sent(client, server.url())
        assert refusal.value.code == "upstream_busy"
        waiting.leave()
        Sent(client, server.url())  # who leaves makes room


async def test_a_posting_that_waits_too_long_is_late_whatever_it_waits_for() -> None:
    async def behave(peer: Peer) -> None:
        await peer.until_closed()

    async def hang(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await anyio.sleep_forever()
        return []

    async with raw_server(behave) as server, pool(ONE) as client:
        Sent(client, server.url(), timeout_s=60)
        assert isinstance(await Sent(client, server.url(), timeout_s=0.05).failure(), UpstreamTimeout)
    dialling = HttpPool(PoolSettings(rules=LOCAL), getaddrinfo=hang)
    with anyio.fail_after(10):
        assert isinstance(await Sent(dialling, "http://slow.example/", timeout_s=0.05).failure(), UpstreamTimeout)
    await dialling.aclose()


async def test_a_posting_whose_connection_is_refused_fails_and_frees_its_place() -> None:
    async with raw_server(answers(JSON_OK)) as server:
        url = server.url()
    async with pool(ONE) as client:
        for _ in range(3):
            failure = await Sent(client, url).failure()
            assert (type(failure), failure.code) == (UpstreamUnreachable, "upstream_unreachable")


async def test_a_posting_to_a_forbidden_address_is_not_dialled() -> None:
    async with raw_server(answers(JSON_OK)) as server, pool(PoolSettings()) as client:
        assert (await Sent(client, server.url()).failure()).code == "egress_denied"
        assert not server.peers


@pytest.mark.parametrize("closes", [False, True], ids=["a connection", "a place"])
async def test_what_a_sender_that_left_would_have_got_goes_to_the_next(closes: bool) -> None:
    gate = anyio.Event()
    served: list[bytes] = []

    async def behave(peer: Peer) -> None:
        while (asked := await peer.request())[0]:
            served.append(asked[2])
            await gate.wait()
            await peer.say(JSON_OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") if closes else JSON_OK)

    async with raw_server(behave) as server, pool(ONE) as client:
        first = Sent(client, server.url(), b"0")
        gone, last = Sent(client, server.url(), b"gone"), Sent(client, server.url(), b"1")
        gone.leave()
        gate.set()
        assert [await first.answer(), await last.answer()] == [b"{}", b"{}"]
        assert served == [b"0", b"1"]
        assert gone.outcome is None


async def test_a_connection_that_was_opened_for_a_sender_that_left_serves_others() -> None:
    gate = anyio.Event()

    async def slow(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await gate.wait()
        return [(AF_INET, "127.0.0.1")]

    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(ONE, getaddrinfo=slow)
        url = f"http://a.example:{server.port}/"
        with anyio.fail_after(10):
            gone, last = Sent(client, url), Sent(client, url)
            gone.leave()
            gate.set()
            assert await last.answer() == b"{}"
            assert await Sent(client, url).answer() == b"{}"
        assert len(server.peers) == 1
        assert gone.outcome is None
        await client.aclose()


async def test_a_dead_connection_sends_its_posting_to_another_place() -> None:
    async with raw_server(answers(JSON_OK)) as server, pool(ONE) as client:
        first = Sent(client, server.url())
        await first.answer()
        dead = first.connection
        assert dead is not None
        held = Sent(client, server.url())
        waiting = Sent(client, server.url())
        assert waiting.posting is not None
        dead.abort()  # tells `held` that the upstream is gone; its place is free in the loop's next step
        waiting.posting.take(dead)
        assert (await held.failure()).code == "upstream_died"
        assert await waiting.answer() == b"{}"
        assert len(server.peers) == 2


async def test_a_closed_pool_fails_what_waits_and_what_is_being_opened() -> None:
    async def hang(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        await anyio.sleep_forever()
        return []

    client = HttpPool(ONE, getaddrinfo=hang)
    opening, waiting = Sent(client, "http://a.example/"), Sent(client, "http://a.example/")
    await client.aclose()
    with anyio.fail_after(10):
        failures = [await opening.failure(), await waiting.failure()]
    assert {failure.message for failure in failures} == {"this upstream was removed"}
    with pytest.raises(UpstreamUnreachable):
        Sent(client, "http://a.example/")


async def test_random_leaving_never_loses_a_place() -> None:
    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(PoolSettings(rules=LOCAL, max_connections=2, tick_s=0.01))
        with anyio.fail_after(20):
            for round_number in range(60):
                sent = [Sent(client, server.url()) for _ in range(6)]
                for _ in range(round_number % 12):
                    await checkpoint()
                for one in sent[:: 1 + round_number % 3]:
                    one.leave()
                    if one.connection is not None and one.outcome is None:
                        one.connection.abort()
                for one in sent:
                    if not one.has_left:
                        await one.ended.wait()
            last = [Sent(client, server.url()) for _ in range(6)]
            assert [await one.answer() for one in last] == [b"{}"] * 6
        await client.aclose()
