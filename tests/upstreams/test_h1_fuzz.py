"""Whatever bytes an upstream sends, however split: a response or one kind of refusal, and never a hang."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_gateway.upstreams.h1 import H1Connection
from agent_gateway.upstreams.h1_response import H1Limits
from gateway_policies.refusal import UpstreamFailed

OK = b"HTTP/1.1 200 OK\r\n"
SEEDS = [
    OK + b"content-type: application/json\r\ncontent-length: 12\r\n\r\n" + b"0123456789ab",
    OK + b"transfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n8;x=y\r\nefghijkl\r\n0\r\nt: v\r\n\r\n",
    OK + b"connection: close\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 304 Same\r\ncontent-length: 99\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"0", b"ffffffffffffffff", b"chunked", b"\x00", b"\xff", b":", b" ", b"-1",
    b"content-length: 3\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"transfer-encoding: chunked\r\n",
    b"upgrade: h2\r\nconnection: upgrade\r\n",
]  # fmt: skip


class Wire(asyncio.Transport):
    """A transport whose other side is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False
        self.is_paused = False

    def write(self, data: Any) -> None:
        assert not self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Pool:
    def __init__(self) -> None:
        self.released_count = self.lost_count = 0

    def released(self, connection: H1Connection) -> None:
        self.released_count += 1

    def lost(self, connection: H1Connection) -> None:
        self.lost_count += 1


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """A mutated answer and the places where it is cut into reads."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["insert", "delete", "replace", "repeat"]))
        end = min(len(data), at + draw(st.integers(0, 12)))
        if kind == "insert":
            data[at:at] = draw(st.sampled_from(PIECES))
        elif kind == "delete":
            del data[at:end]
        elif kind == "replace":
            data[at:end] = draw(st.sampled_from(PIECES))
        else:
            data[at:at] = data[at:end] * draw(st.integers(1, 3))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return bytes(data), cuts


async def feed(data: bytes, cuts: list[int]) -> tuple[str, int, bytes, bool]:
    """Return (how it ended, status, body, whether the connection was kept)."""
    owner, wire = Pool(), Wire()
    limits = H1Limits(max_head_bytes=600, max_headers=10, high_water_bytes=64)
    connection = H1Connection(owner, limits, asyncio.get_running_loop())
    connection.connection_made(wire)
    head = connection.start(b"", timeout_s=1, is_head_request=False)
    edges = [0, *cuts, len(data)]
    for start, end in pairwise(edges):
        if start < end and not wire.is_closed:
            connection.data_received(data[start:end])
    if not wire.is_closed and not owner.released_count:
        connection.eof_received()
    if not owner.released_count:
        connection.connection_lost(None)
        assert owner.lost_count == 1
    is_kept = bool(owner.released_count) and not wire.is_closed
    assert head.done()
    try:
        response = head.result()
        return "answered", response.status, await response.read(1_000_000), is_kept
    except UpstreamFailed as failure:
        return failure.code, 0, b"", is_kept


@given(replies())
@settings(max_examples=400, deadline=None)
def test_every_input_is_a_response_or_one_refusal(reply: tuple[bytes, list[int]]) -> None:
    how, status, _, is_kept = asyncio.run(feed(*reply))
    assert how in {"answered", "upstream_died", "upstream_garbage"}
    assert how != "answered" or 200 <= status < 600
    assert not (is_kept and how == "upstream_died")


@given(st.sampled_from(SEEDS), st.lists(st.integers(0, 120), max_size=12))
@settings(max_examples=150, deadline=None)
def test_how_an_answer_is_split_changes_nothing(seed: bytes, cuts: list[int]) -> None:
    whole = asyncio.run(feed(seed, []))
    assert asyncio.run(feed(seed, sorted(min(cut, len(seed)) for cut in cuts))) == whole
    assert whole[0] == "answered"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_prefix_of_an_answer_is_never_a_whole_one(seed: bytes) -> None:
    whole = asyncio.run(feed(seed, []))
    for length in range(len(seed)):
        part = asyncio.run(feed(seed[:length], []))
        if part[0] == "answered" and b"connection: close" not in seed:
            assert (part[1], part[2]) == (whole[1], whole[2]), length
