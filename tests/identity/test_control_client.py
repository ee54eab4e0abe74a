"""The control path's client against a real socket: it goes where it was checked to go, and not on."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from socket import AF_INET

import anyio
import anyio.abc
import pytest

from agent_gateway.egress.control_client import CheckedBackend, ControlClient
from agent_gateway.egress.resolve import Address, EgressRules, Getaddrinfo
from gateway_policies.refusal import Refusal, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

PRIVATE = EgressRules(allow_private=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Served:
    """A raw HTTP server: gives one fixed answer, keeps the requests it got."""

    def __init__(self, answer: bytes, *, is_silent: bool = False) -> None:
        self.answer = answer
        self.is_silent = is_silent
        self.requests: list[bytes] = []
        self.port = 0

    async def handle(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive()
            self.requests.append(request)
            if self.is_silent:
                await anyio.sleep_forever()
            try:
                await stream.send(self.answer)
            except anyio.BrokenResourceError:
                return


@asynccontextmanager
async def serving(answer: bytes, *, is_silent: bool = False) -> AsyncGenerator[Served, None]:
    served = Served(answer, is_silent=is_silent)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        served.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, served.handle)
        with anyio.fail_after(10):
            yield served
        group.cancel_scope.cancel()


def names(answers: dict[str, Sequence[str]]) -> Getaddrinfo:
    """A resolver whose answers change: each look-up of a name takes the next of its list."""
    left = {name: list(ips) for name, ips in answers.items()}

    async def getaddrinfo(host: str, port: int) -> Sequence[Address]:
        ips = left.get(host, [host])
        return [(AF_INET, ips.pop(0) if len(ips) > 1 else ips[0])]

    return getaddrinfo


async def refused(client: ControlClient, url: str, max_bytes: int = 1000) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await client.get(url, max_bytes=max_bytes)
    return caught.value


async def test_an_answer_comes_back_whole() -> None:
    async with serving(OK) as served, ControlClient(PRIVATE) as client:
        response = await client.get(f"http://127.0.0.1:{served.port}/a?b=c")
        assert (response.status, response.body, response.headers["content-length"]) == (200, b"ok", "2")
        assert served.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    async with serving(OK) as served, ControlClient(EgressRules()) as client:
        refusal = await refused(client, f"http://{host}:{served.port}/")
        assert isinstance(refusal, UpstreamUnreachable)
        assert served.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com\\@127.0.0.1/",
        "http://user@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "",
        "http://",
        "http://exa mple.com/",
        "http://[::1/",
    ],
)
async def test_odd_urls_lead_nowhere(url: str) -> None:
    async with ControlClient(EgressRules(), getaddrinfo=names({"example.com": ["127.0.0.1"]})) as client:
        assert (await refused(client, url)).code in ("egress_denied", "upstream_failed")


async def test_a_name_that_turns_inward_between_check_and_use_is_dialled_where_it_was_checked() -> None:
    """DNS rebinding: the second answer would be loopback, and nobody asks for it."""
    dialled: list[str] = []

    class Dial(CheckedBackend):
        async def connect_tcp(self, host: str, *_: object, **__: object):
            dialled.append(host)
            raise UpstreamFailed("seen")

    resolver = names({"rebind.example": ["8.8.8.8", "127.0.0.1"]})
    backend = CheckedBackend(EgressRules(), getaddrinfo=resolver, dial=Dial(EgressRules()))
    with pytest.raises(UpstreamFailed):
        await backend.connect_tcp("rebind.example", 80)
    assert dialled == ["8.8.8.8"]
    with pytest.raises(UpstreamUnreachable) as caught:
        await backend.connect_tcp("rebind.example", 80)
    assert (caught.value.code, dialled) == ("egress_denied", ["8.8.8.8"])


async def test_local_sockets_are_not_dialled() -> None:
    with pytest.raises(UpstreamUnreachable):
        await CheckedBackend(PRIVATE).connect_unix_socket("any.sock")


@pytest.mark.requirement("invariant.no-redirects-no-proxies")
async def test_the_proxy_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OK) as proxy, serving(OK) as served:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with ControlClient(PRIVATE) as client:
            await client.get(f"http://127.0.0.1:{served.port}/")
        assert (len(proxy.requests), len(served.requests)) == (0, 1)


@pytest.mark.requirement("invariant.no-redirects-no-proxies")
async def test_a_redirect_is_not_followed() -> None:
    async with serving(OK) as inner:
        answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        async with serving(answer.encode()) as served, ControlClient(PRIVATE) as client:
            assert isinstance(await refused(client, f"http://127.0.0.1:{served.port}/"), UpstreamFailed)
            assert (await client.send("GET", f"http://127.0.0.1:{served.port}/")).status == 302
        assert inner.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
async def test_answers_too_large_broken_or_compressed_fail(answer: bytes) -> None:
    async with serving(answer) as served, ControlClient(PRIVATE) as client:
        assert type(await refused(client, f"http://127.0.0.1:{served.port}/")) is UpstreamFailed


async def test_a_host_that_says_nothing_is_given_up() -> None:
    async with serving(OK, is_silent=True) as served, ControlClient(PRIVATE, timeout_s=0.05) as client:
        assert isinstance(await refused(client, f"http://127.0.0.1:{served.port}/"), UpstreamTimeout)


async def test_a_closed_port_is_unreachable() -> None:
    async with serving(OK) as served:
        port = served.port
    async with ControlClient(PRIVATE) as client:
        assert isinstance(await refused(client, f"http://127.0.0.1:{port}/"), UpstreamUnreachable)


async def test_cookies_are_not_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with serving(answer) as served, ControlClient(PRIVATE) as client:
        for _ in range(2):
            await client.get(f"http://127.0.0.1:{served.port}/")
        assert not any(b"cookie" in request.lower() for request in served.requests)
