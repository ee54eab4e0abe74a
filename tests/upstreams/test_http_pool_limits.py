"""The HTTP pool against peers that send garbage, stall, die or flood."""

import asyncio
import contextlib

import anyio
import pytest

from agent_gateway.upstreams.h1_response import H1Limits
from agent_gateway.upstreams.http_pool import PoolSettings
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from support.http_pools import LOCAL, emptied, pool, post
from support.raw_http import JSON_OK, Peer, raw_server

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.mark.parametrize(
    "reply",
    [
        b"not http at all\r\n\r\n",
        OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"transfer-encoding: identity\r\n\r\n{}",
        OK + b"content-length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        OK + b"a: b\r\n folded: c\r\n\r\n",
        OK + b"".join(b"h%d: x\r\n" % n for n in range(101)) + b"\r\n",
        OK + b"a: " + b"x" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + JSON_OK,
        JSON_OK + JSON_OK,
        OK + b"transfer-encoding: chunked\r\n\r\n2;" + b"x" * 600_000 + b"\r\n{}\r\n0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nt: " + b"x" * 600_000 + b"\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    ],
    ids=[
        "no http",
        "length and chunks",
        "two lengths",
        "a coding we did not ask for",
        "chunked twice",
        "identity",
        "a negative length",
        "an upgrade",
        "an unknown status",
        "an unknown version",
        "a folded header",
        "too many headers",
        "a large head",
        "endless interim answers",
        "two answers",
        "a large chunk extension",
        "a large trailer",
        "a chunk size that is none",
    ],
)
async def test_garbage_is_one_refusal_and_the_end_of_the_connection(reply: bytes) -> None:
    closed = anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        try:
            await peer.say(reply)
            await peer.until_closed()
        finally:
            closed.set()

    async with raw_server(behave) as server, pool() as client:
        with pytest.raises(UpstreamFailed) as refusal:
            await (await client.send(post(server.url()), timeout_s=5)).read(1_000_000)
        assert refusal.value.code == "upstream_garbage"
        await closed.wait()
        await emptied(client)


async def test_bytes_that_nobody_asked_for_never_answer_the_next_request() -> None:
    read = anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(JSON_OK)
        if peer.number == 0:
            await read.wait()
            await peer.say(OK + b"content-length: 6\r\n\r\npoison")
        await peer.until_closed()

    async with raw_server(behave) as server, pool() as client:
        assert await (await client.send(post(server.url()), timeout_s=5)).read(10) == b"{}"
        read.set()
        await emptied(client)
        assert await (await client.send(post(server.url()), timeout_s=5)).read(10) == b"{}"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nx: "], ids=["nothing", "half a head"])
async def test_a_head_that_never_ends_is_a_timeout(said: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        while not peer.reader.at_eof():
            if said:
                await peer.say(b"x")  # a byte now and then does not buy time
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(peer.until_closed(), 0.02)

    async with raw_server(behave) as server, pool() as client:
        with pytest.raises(UpstreamTimeout):
            await client.send(post(server.url()), timeout_s=0.1)
        await emptied(client)


async def test_a_body_that_stops_is_a_timeout() -> None:
    settings = PoolSettings(rules=LOCAL, tick_s=0.01, h1=H1Limits(idle_timeout_s=0.05))

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK + b"content-length: 10\r\n\r\nhalf")
        await peer.until_closed()

    async with raw_server(behave) as server, pool(settings) as client:
        response = await client.send(post(server.url()), timeout_s=5)
        with pytest.raises(UpstreamTimeout):
            await response.read(100)


@pytest.mark.parametrize("said", [b"HTTP/1.1 200", OK + b"content-length: 10\r\n\r\nhalf"], ids=["head", "body"])
async def test_an_upstream_that_dies_in_its_answer_is_said_to_have_died(said: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)

    async with raw_server(behave) as server, pool() as client:
        with pytest.raises(UpstreamFailed) as refusal:
            await (await client.send(post(server.url()), timeout_s=5, idempotent=True)).read(100)
        assert refusal.value.code == "upstream_died"
        assert len(server.peers) == 1


async def test_a_body_beyond_the_readers_limit_is_refused_whether_declared_or_not() -> None:
    async def behave(peer: Peer) -> None:
        while (await peer.request())[0]:
            if peer.number:
                await peer.say(OK + b"content-length: 1000000000000\r\n\r\n")
            else:
                await peer.say(OK + b"transfer-encoding: chunked\r\n\r\n")
            while True:
                await peer.say(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    async with raw_server(behave) as server, pool() as client:
        for _ in range(2):
            response = await client.send(post(server.url()), timeout_s=5)
            with pytest.raises(UpstreamFailed) as refusal:
                await response.read(100_000)
            assert refusal.value.code == "upstream_too_large"


async def test_a_slow_reader_pauses_the_upstream() -> None:
    total = 64 * 1024 * 1024
    sent = 0

    async def behave(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(OK + b"content-length: %d\r\n\r\n" % total)
        while sent < total:
            await peer.say(b"x" * 65536)
            sent += 65536

    async with raw_server(behave) as server, pool() as client:
        response = await client.send(post(server.url()), timeout_s=5)
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            with anyio.move_on_after(0.1):
                await anyio.Event().wait()
        assert 0 < sent < total / 2
        received = 0
        async for chunk in response.chunks():
            received += len(chunk)
        assert received == total
        assert client.connection_count == 1
