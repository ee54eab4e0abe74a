"""Recorded answers of LangGraph and fasta2a: read for what they mean, and kept byte for byte."""

import json
from pathlib import Path

import pytest
from a2a.types import StreamResponse
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway import cards
from a2a_gateway.answers import State, Told, tell
from a2a_gateway.operations import Dialect, Operation
from a2a_gateway.results import Passage, event, whole
from a2a_gateway.streams import Frame, Frames

RECORDED = Path(__file__).parents[2] / "support" / "transcripts"
RPC, REST, OLD = Dialect("1.0", "JSONRPC"), Dialect("1.0", "HTTP+JSON"), Dialect("0.3", "JSONRPC")
STREAMS = ["langgraph/stream.sse", "langgraph/stream-0.3.sse", "fasta2a/stream.sse"]


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def frames_of(stream: bytes) -> list[Frame]:
    frames = Frames()
    return [*frames.feed(stream)]


def told_by(stream: bytes) -> list[Told]:
    return [tell(frame.data) for frame in frames_of(stream) if frame.data]


@pytest.mark.requirement("a2a.bytes-pass")
@pytest.mark.parametrize("name", STREAMS)
@given(cut=st.integers(0, 2000))
def test_a_stream_is_cut_and_joined_again_byte_for_byte(name: str, cut: int) -> None:
    stream = recorded(name)
    frames = Frames()
    found = [*frames.feed(stream[:cut]), *frames.feed(stream[cut:])]
    assert b"".join(frame.raw for frame in found) == stream
    assert frames.end() is None


@pytest.mark.requirement("a2a.states-are-seen")
@pytest.mark.parametrize("name", STREAMS)
def test_every_state_of_a_stream_is_seen(name: str) -> None:
    told = told_by(recorded(name))
    states = [seen.state for one in told for seen in one.seen if seen.state]
    assert states == [State.SUBMITTED, State.WORKING, State.COMPLETED]
    assert len({(seen.task_id, seen.context_id) for one in told for seen in one.seen}) == 1


@pytest.mark.requirement("a2a.states-are-seen")
@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("langgraph/send.json", State.COMPLETED),
        ("langgraph/send-0.3.json", State.COMPLETED),
        ("fasta2a/send.json", State.SUBMITTED),
        ("fasta2a/get.json", State.COMPLETED),
    ],
)
def test_the_state_of_an_answer_is_seen(name: str, state: State) -> None:
    (seen,) = tell(recorded(name)).seen
    assert (seen.kind, seen.state) == ("task", state)
    assert seen.task_id
    assert seen.context_id


@pytest.mark.requirement("a2a.bytes-pass")
@pytest.mark.parametrize("name", ["langgraph/send.json", "fasta2a/send.json"])
def test_in_the_other_binding_a_result_keeps_its_bytes(name: str) -> None:
    body = recorded(name)
    result = whole(Passage(Operation.SEND, RPC, REST), 200, body).body
    assert result in body
    assert whole(Passage(Operation.SEND, REST, RPC, b"1"), 200, result).body == body


def test_langgraph_s_events_say_nothing_to_the_sdk_and_are_mended_on_the_way_to_the_other_version() -> None:
    for frame in frames_of(recorded("langgraph/stream.sse"))[1:]:
        result = json.loads(frame.data or b"")["result"]
        assert not ParseDict(result, StreamResponse(), ignore_unknown_fields=True).WhichOneof("payload")
        old, _ = event(Passage(Operation.STREAM, RPC, OLD, b"2"), frame.data or b"")
        assert json.loads(old)["result"]["kind"] in ("status-update", "artifact-update")
    for frame in frames_of(recorded("langgraph/stream-0.3.sse")):
        new, _ = event(Passage(Operation.STREAM, OLD, RPC, b'"b"'), frame.data or b"")
        assert ParseDict(json.loads(new)["result"], StreamResponse()).WhichOneof("payload")


def test_langgraph_s_card_is_read() -> None:
    card = cards.parse(recorded("langgraph/card.json"))
    (interface,) = card.interfaces
    assert (card.shape, interface.version, interface.binding) == ("dual", "1.0", "JSONRPC")
    assert "/a2a/" in interface.url
