from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_policies.windows import WindowKind, kind_of, resets_at, seconds_until_reset, window_at

seconds = st.floats(0, 253_370_000_000, allow_nan=False)
kinds: st.SearchStrategy[WindowKind] = st.sampled_from(["day", "month", "total"])
NEW_YEAR = 1_798_761_600  # 2027-01-01T00:00:00Z


def test_a_window_is_named_after_its_day_or_month_in_utc() -> None:
    assert [window_at(kind, NEW_YEAR - 0.001) for kind in ("day", "month", "total")] == [
        "2026-12-31",
        "2026-12",
        "total",
    ]
    assert [window_at(kind, NEW_YEAR) for kind in ("day", "month")] == ["2027-01-01", "2027-01"]


def test_a_leap_day_is_a_day_of_its_own() -> None:
    assert window_at("day", datetime(2028, 2, 29, 23, tzinfo=UTC).timestamp()) == "2028-02-29"
    assert resets_at("2028-02") == datetime(2028, 3, 1, tzinfo=UTC).timestamp()


def test_december_ends_with_the_year() -> None:
    assert resets_at("2026-12") == resets_at("2026-12-31") == NEW_YEAR
    assert seconds_until_reset("2026-12", NEW_YEAR - 0.5) == 1
    assert seconds_until_reset("2026-12", NEW_YEAR + 10) == 0


def test_a_total_never_resets() -> None:
    assert resets_at("total") is None
    assert seconds_until_reset("total", 5.0) is None


@given(kinds, seconds)
def test_every_moment_is_inside_its_window_and_the_next_window_begins_at_its_end(kind: WindowKind, now: float) -> None:
    window = window_at(kind, now)
    assert kind_of(window) == kind
    end = resets_at(window)
    if end is not None:
        assert now < end <= now + 31 * 86_400 + 1
        assert window_at(kind, end) > window
        assert window_at(kind, end - 1) == window


@pytest.mark.parametrize("now", [-1.0, float("nan"), float("inf")])
def test_no_time_has_no_window(now: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        window_at("day", now)


@pytest.mark.parametrize("window", ["", "2026", "2026-13", "2026-02-30", "yesterday!", "total "])
def test_what_is_no_window_is_refused(window: str) -> None:
    with pytest.raises(ValueError):
        resets_at(window)
    with pytest.raises(ValueError):
        kind_of(window)
