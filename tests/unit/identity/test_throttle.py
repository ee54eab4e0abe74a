"""Failures are counted per client, for a while, and not without end."""

from support.tokens import Ticking

from agent_gateway.identity.throttle import MAX_FAILURES, WINDOW_S, Throttle


def test_a_client_waits_after_too_many_failures_until_the_window_ends() -> None:
    clock = Ticking()
    throttle = Throttle(clock=clock)
    for _ in range(MAX_FAILURES):
        assert throttle.wait_s("a") == 0
        throttle.failed("a")
    assert throttle.wait_s("a") == WINDOW_S
    assert throttle.wait_s("b") == 0
    clock.now += WINDOW_S
    assert throttle.wait_s("a") == 0
    throttle.failed("a")
    assert throttle.wait_s("a") == 0


def test_success_forgets_the_failures() -> None:
    throttle = Throttle(clock=Ticking(), max_failures=1)
    throttle.failed("a")
    throttle.passed("a")
    throttle.passed("never seen")
    assert throttle.wait_s("a") == 0


def test_it_remembers_a_bounded_number_of_clients() -> None:
    throttle = Throttle(clock=Ticking(), max_failures=1, max_clients=2)
    for client in "abc":
        throttle.failed(client)
    assert [throttle.wait_s(client) > 0 for client in "abc"] == [False, True, True]
