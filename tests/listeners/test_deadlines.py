"""The edge on a real socket: slow heads, large heads and slow bodies end; nobody else notices."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from agent_gateway.listeners.bind import bind
from agent_gateway.listeners.deadlines import EdgeLimits
from agent_gateway.listeners.serve import Listener, serving

LIMITS = EdgeLimits(header_timeout_s=0.2, body_timeout_s=0.2, write_timeout_s=1, header_bytes=4096)
FLOOD = 64 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(str(size)))]})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def flood(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % FLOOD)]})
    await send({"type": "http.response.body", "body": b"a" * FLOOD})


@asynccontextmanager
async def edge(app: Any = echo_length) -> AsyncGenerator[int, None]:
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with serving([Listener("test", app, sock, LIMITS, drain_timeout_s=1)]):
        yield port


async def talk(port: int, *parts: bytes) -> bytes:
    """Send the parts, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(8):
            return await reader.read()
    finally:
        writer.close()


async def test_a_whole_request_is_served() -> None:
    async with edge() as port:
        answer = await talk(port, b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc")
    assert answer.startswith(OK)
    assert answer.endswith(b"3")


@pytest.mark.requirement("listeners.deadlines")
async def test_a_head_that_never_ends_is_closed_with_408() -> None:
    async with edge() as port:
        assert (await talk(port, b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")).startswith(b"HTTP/1.1 408")


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with edge() as port:
        assert (await talk(port)).startswith(b"HTTP/1.1 408")


@pytest.mark.requirement("listeners.deadlines")
async def test_a_body_that_never_ends_is_closed() -> None:
    async with edge() as port:
        answer = await talk(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_head_beyond_the_bound_is_refused_whether_it_comes_whole_or_in_pieces() -> None:
    large = b"GET / HTTP/1.1\r\nhost: x\r\nx-large: " + b"a" * 8000
    async with edge() as port:
        assert (await talk(port, large + b"\r\n\r\n")).startswith(b"HTTP/1.1 431")
        assert (await talk(port, large)).startswith(b"HTTP/1.1 431")


async def test_many_slow_clients_do_not_keep_a_fast_one_waiting() -> None:
    async with edge() as port:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        try:
            answer = await talk(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        finally:
            for one in slow:
                one.close()
    assert answer.startswith(OK)


async def test_a_second_request_on_the_same_connection_gets_deadlines_of_its_own() -> None:
    async with edge() as port:
        answer = await talk(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
    assert answer.startswith(OK)
    assert b"HTTP/1.1 408" in answer


async def test_a_client_that_reads_nothing_is_given_up() -> None:
    async with edge(flood) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            cast("asyncio.ReadTransport", writer.transport).pause_reading()
            gone = asyncio.Event()
            async with asyncio.timeout(10):
                while not gone.is_set():
                    try:
                        writer.write(b"x")  # fails once the server has reset the connection
                        await writer.drain()
                        async with asyncio.timeout(0.2):
                            await gone.wait()
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        gone.set()
            assert gone.is_set()
        finally:
            writer.close()


async def test_a_client_that_reads_slowly_gets_all_of_a_large_answer() -> None:
    async with edge(flood) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            size = 0
            async with asyncio.timeout(20):
                while chunk := await reader.read(64 * 1024):
                    size += len(chunk)
            assert size > FLOOD
        finally:
            writer.close()


@pytest.mark.requirement("listeners.deadlines")
async def test_a_connection_that_is_idle_after_an_answer_is_closed_without_a_word() -> None:
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with serving([Listener("test", echo_length, sock, LIMITS, idle_timeout_s=1, drain_timeout_s=1)]):
        answer = await talk(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
    assert answer.startswith(OK)
    assert answer.endswith(b"3")


async def test_blanks_around_a_header_value_are_no_part_of_it() -> None:
    heard: list[tuple[bytes, bytes]] = []

    async def listen(scope: Any, receive: Any, send: Any) -> None:
        heard.extend(scope["headers"])
        await echo_length(scope, receive, send)

    async with edge(listen) as port:
        assert b"200 OK" in await talk(
            port, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nmcp-name: \t tool  \t\r\nempty:  \r\n\r\n"
        )
    assert (b"mcp-name", b"tool") in heard
    assert (b"empty", b"") in heard
