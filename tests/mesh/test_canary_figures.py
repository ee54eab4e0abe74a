"""Figures of a canary, from outcomes."""

from agent_gateway.mesh.canary_figures import Figures, figures


def outcome(status: str, code: str = "", ms: int = 0, name: str = "api__a") -> dict[str, object]:
    return {"kind": "outcome", "capability": name, "status": status, "code": code, "duration_us": ms * 1000}


def test_only_calls_that_reached_the_api_count_for_latency() -> None:
    told = [outcome("ok", ms=one) for one in range(1, 20)]
    told += [outcome("timeout", "upstream_timeout", 500), outcome("refused", "invalid_arguments", 9000)]
    told += [outcome("ok", ms=9000, name="other__a"), {"kind": "decision", "capability": {"name": "api__a"}}]
    assert figures(told, {"api__a"}) == Figures(
        calls=21,
        errors={"refused: invalid_arguments": 1, "timeout: upstream_timeout": 1},
        refused_by_schema=1,
        p50_ms=10.0,
        p95_ms=19.0,
    )


def test_without_calls_there_is_nothing_to_say() -> None:
    assert figures([], {"api__a"}) == Figures()
