"""W3C Trace Context: what is kept, what is made anew, what travels on."""

import random

import pytest

from agent_gateway.telemetry.trace import begin

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BITS = random.Random(7).getrandbits


def test_a_callers_trace_is_continued_with_our_own_span() -> None:
    trace = begin({"traceparent": PARENT, "tracestate": "a=1", "baggage": "k=v"}, BITS)
    assert (trace.trace_id, trace.parent_id, trace.is_sampled) == (PARENT[3:35], PARENT[36:52], True)
    onward = trace.onward()
    assert onward["traceparent"] == f"00-{trace.trace_id}-{trace.span_id}-01"
    assert trace.span_id != trace.parent_id
    assert (onward["tracestate"], onward["baggage"]) == ("a=1", "k=v")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        PARENT.upper(),
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + "\n",
    ],
)
def test_a_malformed_header_begins_a_new_trace(header: str) -> None:
    trace = begin({"traceparent": header, "tracestate": "a=1"}, BITS)
    assert trace.trace_id not in PARENT
    assert (trace.parent_id, trace.state, trace.is_sampled) == ("", "", False)


def test_a_later_version_is_read_by_its_known_fields() -> None:
    assert begin({"traceparent": "01" + PARENT[2:] + "-extra"}, BITS).trace_id == PARENT[3:35]


def test_oversized_state_and_baggage_are_left_behind() -> None:
    trace = begin({"traceparent": PARENT, "tracestate": "a" * 513, "baggage": "b" * 8193}, BITS)
    assert set(trace.onward()) == {"traceparent"}


def test_new_traces_are_sampled_at_the_ratio() -> None:
    sampled = sum(begin({}, BITS, 0.25).is_sampled for _ in range(4000))
    assert 850 < sampled < 1150
    assert not begin({}, BITS, 0).is_sampled
