"""Streams: cut at blank lines wherever the network cut them, and not a byte lost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway.streams import KEEP_ALIVE, Frame, Frames, event, frame

LANGGRAPH = b'event: message\ndata: {"a":1}\n\n'
PING = b": ping - 2026-11-25\r\n\r\n"
MIXED = (
    b"\xef\xbb\xbfdata: 1\n\n"
    + LANGGRAPH
    + PING
    + b"id: 7\rdata: x\rdata:  y\r\r"
    + b"data\n\n"
    + b"event: error\ndata: {}\n\n"
)


def cut(pieces: list[bytes], **limits: int) -> list[Frame]:
    frames = Frames(**limits)
    found = [one for piece in pieces for one in frames.feed(piece)]
    last = frames.end()
    return [*found, last] if last else found


def test_events_with_their_data_and_names() -> None:
    found = cut([LANGGRAPH + PING + b"id: 7\rdata: x\rdata:  y\r\r" + b"data\n\nevent: error\ndata: {}\n\n"])
    assert [(one.data, one.kind, one.is_ended) for one in found] == [
        (b'{"a":1}', "message", True), (None, "message", True), (b"x\n y", "message", True), (b"", "message", True),
        (b"{}", "error", True),
    ]  # fmt: skip


@given(cuts=st.lists(st.integers(0, len(MIXED)), max_size=12))
def test_the_network_may_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(MIXED)]
    found = cut([MIXED[a:b] for a, b in itertools.pairwise(edges)])
    assert b"".join(one.raw for one in found) == MIXED
    assert found == cut([MIXED])


@given(
    chunks=st.lists(st.binary(max_size=40) | st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r", b"data: x"]), max_size=12)
)
def test_no_byte_is_lost_or_made(chunks: list[bytes]) -> None:
    assert b"".join(one.raw for one in cut(chunks, max_event_bytes=30)) == b"".join(chunks)


def test_an_event_that_is_too_large_passes_in_pieces_unread() -> None:
    found = cut([b"data: " + b"x" * 100, b"y" * 50, b"\n", b"\ndata: z\n\n"], max_event_bytes=64)
    assert [(one.data, one.is_ended) for one in found] == [(None, False), (None, True), (b"z", True)]
    assert b"".join(one.raw for one in found) == b"data: " + b"x" * 100 + b"y" * 50 + b"\n\ndata: z\n\n"


def test_an_event_without_its_blank_line_is_none() -> None:
    assert cut([b"data: x\n"]) == [Frame(b"data: x\n", None, is_ended=False)]
    assert cut([]) == []


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    frames = Frames()
    assert list(frames.feed(b"data: x\r\n\r")) == []
    assert [one.raw for one in frames.feed(b"\n")] == [b"data: x\r\n\r\n"]


@pytest.mark.parametrize(
    ("data", "kind", "raw"),
    [
        (b"{}", "message", b"data: {}\n\n"),
        (b"a\nb\r\nc", "error", b"event: error\ndata: a\ndata: b\ndata: c\n\n"),
    ],
)
def test_an_event_is_written_and_read_back(data: bytes, kind: str, raw: bytes) -> None:
    assert event(data, kind) == raw
    assert frame(raw).data == data.replace(b"\r\n", b"\n")
    assert frame(raw).kind == kind
    assert frame(KEEP_ALIVE).data is None
