"""The HTTP pool against real sockets: reuse, limits, retries, deadlines, and peers that misbehave."""

import asyncio
import contextlib
from collections.abc import Sequence
from socket import AF_INET, AddressFamily

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agent_gateway.ports import HttpRequest
from agent_gateway.upstreams.h1_request import target_of
from agent_gateway.upstreams.http_pool import HttpPool, PoolSettings
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from support.http_pools import LOCAL, pool, post
from support.raw_http import JSON_OK, Peer, answers, raw_server

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def test_a_request_arrives_whole_and_its_answer_comes_back() -> None:
    async def behave(peer: Peer) -> None:
        line, headers, body = await peer.request()
        assert line == b"POST /mcp?a=1 HTTP/1.1"
        assert headers[b"host"] == f"127.0.0.1:{server.port}".encode()
        assert (headers[b"x-one"], headers[b"content-length"], body) == (b"1", b"5", b"hello")
        await peer.say(OK + b"X-Two: 2\r\nx-two: 3\r\nContent-Length: 3\r\n\r\nyes")

    async with raw_server(behave) as server, pool() as client:
        response = await client.send(post(server.url("/mcp?a=1"), b"hello", [(b"x-one", b"1")]), timeout_s=5)
        assert (response.status, response.headers[b"x-two"]) == (200, b"3")
        assert await response.read(3) == b"yes"


async def test_one_connection_serves_requests_in_turn() -> None:
    async with raw_server(answers(JSON_OK)) as server, pool() as client:
        for _ in range(5):
            response = await client.send(post(server.url()), timeout_s=5)
            assert await response.read(10) == b"{}"
        assert (len(server.peers), client.connection_count) == (1, 1)


async def test_an_idle_connection_is_closed_after_its_age() -> None:
    gone = anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(JSON_OK)
        await peer.until_closed()
        gone.set()

    settings = PoolSettings(rules=LOCAL, tick_s=0.01, max_idle_s=0.02)
    async with raw_server(behave) as server, pool(settings) as client:
        await (await client.send(post(server.url()), timeout_s=5)).read(10)
        await gone.wait()


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        OK + b"\r\n{}",
    ],
    ids=["close", "http/1.0", "until the end"],
)
async def test_a_connection_that_ends_with_its_answer_is_not_used_again(reply: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(reply)

    async with raw_server(behave) as server, pool() as client:
        for _ in range(2):
            assert await (await client.send(post(server.url()), timeout_s=5)).read(10) == b"{}"
        assert len(server.peers) == 2


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + JSON_OK, 200, b"{}"),
        (b"HTTP/1.1 204 None\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 None\r\ncontent-length: 5\r\n\r\n", 304, b""),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nx-trailer: 1\r\n\r\n", 200, b"{}"),
        (OK + b"x-empty:\r\ncontent-length: 0\r\n\r\n", 200, b""),
    ],
    ids=["interim answers", "204", "304 with a length", "chunks and trailers", "an empty header"],
)
async def test_every_lawful_form_is_read_and_the_connection_kept(reply: bytes, status: int, body: bytes) -> None:
    async with raw_server(answers(reply)) as server, pool() as client:
        for _ in range(2):
            response = await client.send(post(server.url()), timeout_s=5)
            assert (response.status, await response.read(10)) == (status, body)
            assert b"link" not in response.headers
        assert len(server.peers) == 1


async def test_a_head_request_does_not_wait_for_a_body() -> None:
    async with raw_server(answers(OK + b"content-length: 500\r\n\r\n")) as server, pool() as client:
        response = await client.send(HttpRequest("HEAD", server.url(), ()), timeout_s=5)
        assert (response.status, await response.read(10)) == (200, b"")


async def retry_case(idempotent: bool) -> int:
    """Use a connection once, let the upstream close on the second request, and count the requests it saw."""
    seen = 0

    async def behave(peer: Peer) -> None:
        nonlocal seen
        await peer.request()
        seen += 1
        await peer.say(JSON_OK)
        if peer.number == 0:
            await peer.request()
            seen += 1
        else:
            await peer.until_closed()

    async with raw_server(behave) as server, pool() as client:
        await (await client.send(post(server.url()), timeout_s=5)).read(10)
        with contextlib.suppress(UpstreamFailed):
            await (await client.send(post(server.url()), timeout_s=5, idempotent=idempotent)).read(10)
    return seen


async def test_an_idempotent_request_is_tried_once_more_when_a_kept_connection_died() -> None:
    assert await retry_case(idempotent=True) == 3


async def test_any_other_request_is_sent_once_at_most() -> None:
    assert await retry_case(idempotent=False) == 2


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()

    async with raw_server(behave) as server, pool() as client:
        with pytest.raises(UpstreamFailed):
            await client.send(post(server.url()), timeout_s=5, idempotent=True)
        assert len(server.peers) == 1


async def test_a_cancelled_request_closes_its_connection() -> None:
    asked, closed = anyio.Event(), anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.until_closed()
        closed.set()

    async with raw_server(behave) as server, pool() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.send(post(server.url()), timeout_s=5))
        await asked.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await closed.wait()


async def test_closing_half_a_response_closes_its_connection() -> None:
    closed = anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK + b"content-length: 10\r\n\r\nhalf")
        await peer.until_closed()
        closed.set()

    async with raw_server(behave) as server, pool() as client:
        response = await client.send(post(server.url()), timeout_s=5)
        response.close()
        response.close()
        await closed.wait()
        with pytest.raises(UpstreamFailed):
            await response.read(100)


async def test_requests_beyond_the_connections_wait_and_those_beyond_the_queue_are_refused() -> None:
    gate = anyio.Event()
    most = 0
    alive = 0

    async def behave(peer: Peer) -> None:
        nonlocal most, alive
        while (await peer.request())[0]:
            alive += 1
            most = max(most, alive)
            if alive == 2:
                gate.set()
            await gate.wait()
            alive -= 1
            await peer.say(JSON_OK)

    outcomes: list[str] = []

    async def one() -> None:
        try:
            await (await client.send(post(server.url()), timeout_s=5)).read(10)
            outcomes.append("answered")
        except UpstreamUnreachable as refusal:
            outcomes.append(refusal.code)

    settings = PoolSettings(rules=LOCAL, max_connections=2, max_waiting=3, tick_s=0.01)
    async with raw_server(behave) as server, pool(settings) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(one)
        assert sorted(outcomes) == ["answered"] * 5 + ["upstream_busy"]
        assert most == 2
        assert client.connection_count == 2


async def test_waiting_for_a_connection_counts_towards_the_deadline() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.until_closed()

    settings = PoolSettings(rules=LOCAL, max_connections=1, tick_s=0.01)
    async with raw_server(behave) as server, pool(settings) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.send(post(server.url()), timeout_s=60))
        while not client.connection_count:
            await checkpoint()
        with pytest.raises(UpstreamUnreachable) as refusal:
            await client.send(post(server.url()), timeout_s=0.05)
        assert refusal.value.code == "upstream_busy"
        tasks.cancel_scope.cancel()


async def test_a_cancelled_waiter_gives_its_place_to_the_next() -> None:
    gate = anyio.Event()

    async def behave(peer: Peer) -> None:
        while (await peer.request())[0]:
            await gate.wait()
            await peer.say(JSON_OK)

    settings = PoolSettings(rules=LOCAL, max_connections=1, tick_s=0.01)
    async with raw_server(behave) as server, pool(settings) as client:

        async def one() -> bytes:
            return await (await client.send(post(server.url()), timeout_s=5)).read(10)

        tasks = [asyncio.create_task(one()) for _ in range(3)]
        while not server.peers:
            await checkpoint()
        tasks[1].cancel()
        gate.set()
        assert await tasks[0] == await tasks[2] == b"{}"
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert await one() == b"{}"


async def test_a_refused_connection_is_unreachable_and_frees_its_place() -> None:
    async with raw_server(answers(JSON_OK)) as server:
        url = server.url()
    async with pool(PoolSettings(rules=LOCAL, max_connections=1)) as client:
        for _ in range(3):
            with pytest.raises(UpstreamUnreachable) as refusal:
                await client.send(post(url), timeout_s=5)
            assert refusal.value.code == "upstream_unreachable"


async def test_a_private_address_is_not_dialled_unless_the_rules_allow_it() -> None:
    async with raw_server(answers(JSON_OK)) as server, pool(PoolSettings()) as client:
        with pytest.raises(UpstreamUnreachable) as refusal:
            await client.send(post(server.url()), timeout_s=5)
        assert refusal.value.code == "egress_denied"
        assert server.peers == []


async def test_a_connection_ends_at_the_address_that_was_checked() -> None:
    async def names(host: str, port: int) -> Sequence[tuple[AddressFamily, str]]:
        assert host == "tools.example"
        return [(AF_INET, "127.0.0.1")]

    async with raw_server(answers(JSON_OK)) as server:
        client = HttpPool(PoolSettings(rules=LOCAL), getaddrinfo=names)
        response = await client.send(post(f"http://tools.example:{server.port}/"), timeout_s=5)
        assert await response.read(10) == b"{}"
        await client.aclose()
        assert len(server.peers) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\r\nx-admin: 1")],
        [(b"x\r\ny", b"a")],
        [(b"x", b"a\x00")],
        [(b"", b"a")],
        [(b"Host", b"other")],
        [(b"host:x", b"other")],
        [(b"x", b"1"), (b"host:x", b"other")],
        [(b"content-length", b"0")],
        [(b"Transfer-Encoding", b"chunked")],
    ],
)
async def test_no_header_value_opens_a_request_of_its_own(headers: list[tuple[bytes, bytes]]) -> None:
    async with raw_server(answers(JSON_OK)) as server, pool() as client:
        with pytest.raises(UpstreamUnreachable) as refusal:
            await client.send(post(server.url(), headers=headers), timeout_s=5)
        assert refusal.value.code == "upstream_misconfigured"
        assert server.peers == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "http:///x",
        "http://user:pw@a/",
        "http://a\\@b/",
        "http://a/x y",
        "http://a/\r\nx: y",
        "http://a:99999/",
        "http://ä/",
        "a",
        "http://a/#f",
    ],
)
def test_a_url_that_is_not_plain_is_refused(url: str) -> None:
    with pytest.raises(UpstreamUnreachable):
        target_of(url)


async def test_a_closed_pool_refuses_and_fails_what_runs() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.until_closed()

    async with raw_server(behave) as server, pool() as client:
        running = asyncio.create_task(client.send(post(server.url()), timeout_s=5))
        while not client.connection_count:
            await checkpoint()
        await client.aclose()
        with pytest.raises(UpstreamFailed):
            await running
        with pytest.raises(UpstreamUnreachable):
            await client.send(post(server.url()), timeout_s=5)
