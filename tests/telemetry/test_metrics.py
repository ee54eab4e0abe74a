"""Metrics: calls are noted cheaply and booked before anyone reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from agent_gateway.telemetry.metrics import BUCKETS, MAX_NOTED, Metrics, observe_all


def test_calls_appear_by_upstream_and_status_with_their_time() -> None:
    metrics = Metrics()
    metrics.count_call("git", "ok", 0.003)
    metrics.count_call("git", "ok", 0.3)
    metrics.count_call("git", "refused", 0.001)
    text = metrics.render().decode()
    assert 'agent_gateway_calls_total{status="ok",upstream="git"} 2.0' in text
    assert 'agent_gateway_calls_total{status="refused",upstream="git"} 1.0' in text
    assert 'agent_gateway_call_seconds_count{upstream="git"} 3.0' in text
    assert 'agent_gateway_call_seconds_bucket{le="0.005",upstream="git"} 2.0' in text


def test_refusals_are_counted_by_code() -> None:
    metrics = Metrics()
    metrics.count_refusal("over_budget")
    assert 'agent_gateway_refusals_total{code="over_budget"} 1.0' in metrics.render().decode()


def test_notes_are_booked_when_there_are_too_many() -> None:
    metrics = Metrics()
    for _ in range(MAX_NOTED):
        metrics.count_call("git", "ok", 0.001)
    assert metrics.calls.labels("git", "ok")._value.get() == MAX_NOTED  # pyright: ignore[reportPrivateUsage]


@given(st.lists(st.floats(0, 100) | st.sampled_from((0.001, 0.0025, 60, 60.1)), max_size=40))
def test_many_times_are_booked_at_once_as_one_by_one(values: list[float]) -> None:
    made = [CollectorRegistry(), CollectorRegistry()]
    slow, fast = (Histogram("seconds", "Time.", buckets=BUCKETS, registry=registry) for registry in made)
    for value in values:
        slow.observe(value)
    observe_all(fast, values)
    texts = [generate_latest(registry).decode().splitlines() for registry in made]
    lines = [[line for line in text if "_created" not in line and "_sum" not in line] for text in texts]
    assert lines[0] == lines[1]
    sums = [registry.get_sample_value("seconds_sum") for registry in made]
    assert sums[0] == pytest.approx(sums[1])
