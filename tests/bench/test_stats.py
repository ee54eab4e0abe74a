"""The statistics of a run, with plain values."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demos.bench.stats import Floor, Sample, Summary, broken_floors, quietest_half, ratios, summarise

QUIET = Sample(
    requests=1000, rps=1000.0, p50_ms=1.0, p99_ms=2.0, failures=0, foreign_load=0.0, cpu_us=50.0, rss_mb=60.0
)


def summary(cpu_us: float | None, *, rps: float = 1000.0, failures: int = 0) -> Summary:
    return summarise([replace(QUIET, cpu_us=cpu_us, rps=rps, failures=failures)])


def test_the_noisier_half_of_the_samples_is_not_believed() -> None:
    samples = [replace(QUIET, cpu_us=cpu, foreign_load=noise) for cpu, noise in ((90.0, 0.9), (50.0, 0.1), (54.0, 0.2))]

    found = summarise(samples)

    assert (found.samples, found.believed, found.cpu_us) == (3, 2, 52.0)


def test_a_single_sample_is_believed_however_noisy() -> None:
    assert quietest_half([replace(QUIET, foreign_load=1.0)]) == [replace(QUIET, foreign_load=1.0)]


@given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=20))
def test_believed_samples_are_no_noisier_than_the_others(noise: list[float]) -> None:
    samples = [replace(QUIET, requests=n, foreign_load=load) for n, load in enumerate(noise)]

    believed = quietest_half(samples)
    others = [sample for sample in samples if sample not in believed]

    assert len(believed) == (len(samples) + 1) // 2
    assert all(quiet.foreign_load <= noisy.foreign_load for quiet in believed for noisy in others)


def test_failures_and_requests_of_noisy_samples_still_count() -> None:
    samples = [QUIET, replace(QUIET, foreign_load=0.9, failures=3)]

    found = summarise(samples)

    assert (found.believed, found.failures, found.requests) == (1, 3, 2000)


def test_capacity_per_core_follows_from_cpu_time() -> None:
    assert summary(50.0).rps_per_core == 20_000
    assert summary(None).rps_per_core is None


def test_ratios_say_how_much_of_the_reference_is_reached() -> None:
    found = ratios(summary(100.0, rps=250.0), summary(20.0, rps=1000.0))

    assert (found.rps, found.cpu) == (0.25, 0.2)


def test_a_system_without_a_process_has_no_cpu_ratio() -> None:
    assert ratios(summary(None), summary(20.0)).cpu is None
    assert ratios(summary(20.0), summary(None)).cpu is None
    assert ratios(summary(20.0), summary(20.0, rps=0.0)).rps == 0.0


FLOOR = Floor("ours", "nginx", 0.12)


def test_a_ratio_on_its_floor_holds() -> None:
    assert broken_floors({("nginx", 16): summary(12.0), ("ours", 16): summary(100.0)}, [FLOOR]) == []


def test_a_ratio_below_its_floor_is_named() -> None:
    broken = broken_floors({("nginx", 16): summary(10.0), ("ours", 16): summary(100.0)}, [FLOOR])

    assert broken == ["nginx CPU / ours CPU is 0.100 at 16 connections, the floor is 0.12"]


def test_one_connection_measures_latency_so_no_floor_applies_to_it() -> None:
    measured = {
        ("nginx", 1): summary(10.0),
        ("ours", 1): summary(900.0),
        ("nginx", 16): summary(20.0),
        ("ours", 16): summary(100.0),
    }

    assert broken_floors(measured, [FLOOR]) == []


@pytest.mark.parametrize("measured", [{}, {("ours", 16): summary(1.0)}, {("nginx", 16): summary(1.0)}])
def test_a_floor_that_could_not_be_measured_is_broken(measured: dict[tuple[str, int], Summary]) -> None:
    assert broken_floors(measured, [FLOOR]) == ["ours was not measured beside nginx with more than one connection"]


def test_a_system_without_cpu_time_breaks_its_floor() -> None:
    broken = broken_floors({("nginx", 16): summary(10.0), ("ours", 16): summary(None)}, [FLOOR])

    assert broken == ["nginx CPU / ours CPU is no CPU time at 16 connections, the floor is 0.12"]


def test_failed_requests_break_the_check_whatever_the_ratio() -> None:
    broken = broken_floors({("nginx", 16): summary(50.0), ("ours", 16): summary(50.0, failures=2)}, [FLOOR])

    assert broken == ["ours failed 2 of 1000 requests at 16 connections"]
