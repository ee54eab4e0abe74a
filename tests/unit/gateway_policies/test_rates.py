from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from gateway_policies.rates import (
    MAX_COUNT,
    MAX_PERIOD_S,
    SECOND_NS,
    Rate,
    RateKey,
    RateRules,
    RateTable,
    keys_for,
    share,
    step,
)
from gateway_policies.refusal import OverRate

PLANNER = Principal(kind="agent", id="planner", tenant="acme", teams=("acme/research",))
GIT_LOG = Capability(name="git__git_log", native="git_log", upstream="git")
rates = st.builds(
    Rate,
    name=st.just("r"),
    scope=st.just("agent"),
    match=st.just("*"),
    count=st.integers(1, 50),
    period_s=st.integers(1, 60),
    burst=st.integers(1, 20),
)


def rate(count: int = 1, burst: int = 1, period_s: int = 1) -> Rate:
    return Rate("r", "agent", "*", count, period_s, burst)


def key(name: str = "r/acme/planner", of: Rate | None = None) -> RateKey:
    return RateKey(name, of or rate())


def test_a_burst_goes_through_and_the_next_call_is_told_exactly_when() -> None:
    table, one = RateTable(), key(of=rate(count=2, burst=3))
    for _ in range(3):
        table.take([one], SECOND_NS)
    with pytest.raises(OverRate) as caught:
        table.take([one], SECOND_NS)
    assert caught.value.retry_after_s == 0.5
    assert caught.value.message == "rate `r` allows agent `acme/planner` 2 calls in 1 s, 3 at once"
    with pytest.raises(OverRate):
        table.take([one], SECOND_NS + 499_999_999)
    table.take([one], SECOND_NS + 500_000_000)


@given(rates, st.lists(st.integers(0, 5 * SECOND_NS), max_size=60))
def test_no_stretch_of_time_lets_more_through_than_the_rate_and_one_burst(of: Rate, gaps: list[int]) -> None:
    now, arrival, passed = SECOND_NS, 0, list[int]()
    for gap in gaps:
        now += gap
        arrival, wait_ns = step(arrival, now, of)
        if not wait_ns:
            passed.append(now)
    for first, begin in enumerate(passed):
        for count, end in enumerate(passed[first:], start=1):
            assert (count - of.burst) * of.period_s * SECOND_NS <= (end - begin) * of.count


@given(rates, st.integers(0, 10**19), st.integers(0, 10**19))
def test_a_call_goes_through_after_exactly_the_wait_it_was_told(of: Rate, arrival: int, now: int) -> None:
    after, wait_ns = step(arrival, now, of)
    if not wait_ns:
        assert after > now
        return
    assert after == arrival
    assert step(arrival, now + wait_ns, of)[1] == 0
    assert step(arrival, now + wait_ns - 1, of)[1] == 1


def test_a_pace_that_does_not_divide_a_second_is_never_too_fast() -> None:
    assert rate(count=3).interval_ns * 3 >= SECOND_NS


def test_a_call_that_one_rate_refuses_costs_the_others_nothing() -> None:
    table = RateTable()
    tight, wide = key("tight/acme", rate()), key("wide/acme", rate(burst=2))
    table.take([tight, wide], SECOND_NS)
    for _ in range(5):
        with pytest.raises(OverRate, match="`tight`"):
            table.take([wide, tight], SECOND_NS)
    table.take([wide], SECOND_NS)


def test_the_longest_wait_is_told() -> None:
    table = RateTable()
    slow, fast = key("slow/acme", rate(period_s=60)), key("fast/acme")
    table.take([slow, fast], SECOND_NS)
    with pytest.raises(OverRate) as caught:
        table.take([fast, slow], SECOND_NS)
    assert (caught.value.details["rate"], caught.value.retry_after_s) == ("slow", 60.0)


def test_no_rates_let_everything_through() -> None:
    RateTable().take([], 0)


def test_a_table_is_bounded_and_forgets_who_called_longest_ago() -> None:
    table = RateTable(max_subjects=2)
    for name in ("a", "b", "a", "c"):
        table.take([key(name, rate(burst=2))], SECOND_NS)
    assert len(table) == 2
    with pytest.raises(OverRate):
        table.take([key("a", rate(burst=2))], SECOND_NS)
    table.take([key("b", rate(burst=1))], SECOND_NS)


def test_every_matching_subject_has_its_own_pace() -> None:
    scopes = ("tenant", "team", "agent", "capability")
    each = [Rate(f"per-{scope}", scope, "*", 1) for scope in scopes]
    assert [k.bucket for k in keys_for(each, PLANNER, GIT_LOG)] == [
        "per-tenant/acme",
        "per-team/acme/research",
        "per-agent/acme/planner",
        "per-capability/acme/git__git_log",
    ]
    assert keys_for([Rate("r", "agent", "acme/coder", 1)], PLANNER, GIT_LOG) == ()


@given(rates, st.integers(1, 64))
def test_workers_that_share_a_rate_keep_its_pace(of: Rate, workers: int) -> None:
    part = share(of, workers)
    assert part.interval_ns * 1 >= of.interval_ns * workers - workers
    assert part.burst == max(1, of.burst // workers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"match": ""},
        {"count": 0},
        {"count": MAX_COUNT + 1},
        {"burst": 0},
        {"burst": MAX_COUNT + 1},
        {"period_s": 0},
        {"period_s": MAX_PERIOD_S + 1},
    ],
)
def test_a_rate_that_makes_no_sense_cannot_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(rate(), **wrong)


def test_remembered_keys_are_those_worked_out_anew_for_each_caller_and_capability() -> None:
    rates = (
        Rate("all", "tenant", "*", 5),
        Rate("own", "agent", "acme/planner", 2),
        Rate("log", "capability", "git__*", 1),
    )
    rules = RateRules(rates)
    callers = [
        Principal(kind="agent", id="planner", tenant="acme", teams=("acme/research",)),
        Principal(kind="agent", id="planner", tenant="acme"),
        Principal(kind="agent", id="other", tenant="acme"),
        Principal(kind="agent", id="planner", tenant="umbrella"),
    ]
    tools = [Capability(name=name, native="x", upstream="x") for name in ("git__log", "time__now")]
    for _ in range(2):
        for caller in callers:
            for tool in tools:
                assert rules.keys_for(caller, tool) == keys_for(rates, caller, tool)


def test_no_rates_ask_for_no_keys_and_few_are_remembered() -> None:
    tool = Capability(name="git__log", native="log", upstream="git")
    planner = Principal(kind="agent", id="planner", tenant="acme")
    assert RateRules(()).keys_for(planner, tool) == ()
    rules = RateRules((Rate("all", "tenant", "*", 5),), max_remembered=1)
    other = Principal(kind="agent", id="other", tenant="umbrella")
    assert rules.keys_for(planner, tool) != rules.keys_for(other, tool)
    assert rules.keys_for(planner, tool) == keys_for((Rate("all", "tenant", "*", 5),), planner, tool)


def test_a_transaction_has_no_rate() -> None:
    with pytest.raises(ValueError, match="budgets, not rates"):
        Rate("r", "root", "*", 1)
