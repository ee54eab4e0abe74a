"""Metrics: calls are noted cheaply and booked before anyone reads."""

from agent_gateway.telemetry.metrics import MAX_NOTED, Metrics


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
