"""The breaker: when an upstream counts as down, who may try it, and how long it is left alone."""

import pytest

from agent_gateway.upstreams.breaker import Breaker, BreakerLimits
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from support.upstreams import FakeClock

REFUSED = UpstreamUnreachable("the upstream refuses connections")
LIMITS = BreakerLimits(failures=3, first_pause_s=2, max_pause_s=10, trial_s=30)


def breaker(clock: FakeClock, jitter: float = 0.0) -> Breaker:
    return Breaker(clock, LIMITS, jitter=lambda: jitter)


def fail(made: Breaker, times: int, failure: UpstreamFailed = REFUSED) -> None:
    for _ in range(times):
        made.failed(failure)


def wait_of(made: Breaker) -> float | None:
    with pytest.raises(UpstreamUnreachable) as refusal:
        made.check()
    assert refusal.value.code == "upstream_down"
    return refusal.value.retry_after_s


def test_failures_in_a_row_bring_it_down_and_one_success_forgets_them() -> None:
    made = breaker(FakeClock())
    fail(made, 2)
    made.succeeded()
    fail(made, 2)
    made.check()
    assert made.health().state == "up"
    fail(made, 1)
    assert wait_of(made) == 2
    assert (made.health().state, made.health().detail) == ("down", REFUSED.message)


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamTimeout("late"),
        UpstreamUnreachable("full", code="upstream_busy"),
        UpstreamUnreachable("private", code="egress_denied"),
        UpstreamFailed("no", code="upstream_unauthorized"),
        UpstreamFailed("what", code="upstream_garbage"),
    ],
)
def test_only_transport_failures_count(failure: UpstreamFailed) -> None:
    made = breaker(FakeClock())
    fail(made, 10, failure)
    made.check()
    assert made.health().state != "down"


def test_one_request_tries_a_down_upstream_and_the_others_wait_for_it() -> None:
    clock = FakeClock()
    made = breaker(clock)
    fail(made, 3)
    clock.now += 2
    made.check()
    assert wait_of(made) == LIMITS.trial_s
    made.succeeded()
    made.check()
    assert made.health().state == "up"


def test_each_failed_trial_doubles_the_pause_up_to_its_limit() -> None:
    clock = FakeClock()
    made = breaker(clock)
    fail(made, 3)
    down_since = made.health().since
    pauses: list[float | None] = []
    for _ in range(5):
        pauses.append(wait_of(made))
        clock.now += pauses[-1] or 0
        made.check()
        made.failed(REFUSED)
    assert pauses == [2, 4, 8, 10, 10]
    assert made.health().since == down_since


def test_a_trial_that_never_reports_ends_by_time() -> None:
    clock = FakeClock()
    made = breaker(clock)
    fail(made, 3)
    clock.now += 2
    made.check()
    clock.now += LIMITS.trial_s
    made.check()


def test_jitter_shortens_a_pause_by_a_quarter_at_most() -> None:
    made = breaker(FakeClock(), jitter=1.0)
    fail(made, 3)
    assert wait_of(made) == 1.5


def test_an_upstream_that_says_no_is_there() -> None:
    clock = FakeClock()
    made = breaker(clock)
    fail(made, 3)
    clock.now += 2
    made.check()
    made.failed(UpstreamFailed("no", code="upstream_unauthorized"))
    assert made.health().state == "up"
