from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_policies.budgets import SCOPES, Budget, Charge, ChargeTable, charges_for, matches, over_budget
from gateway_policies.call import Capability
from gateway_policies.principal import Hop, Principal
from gateway_policies.refusal import Unavailable
from gateway_policies.units import MAX_AMOUNT

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
PLANNER = Principal(kind="agent", id="planner", tenant="acme", teams=("acme/ops", "acme/research"))
GIT_LOG = Capability(name="git__git_log", native="git_log", upstream="git", price_micros=250)


def budget(name: str = "b", scope: str = "agent", match: str = "*", **other: object) -> Budget:
    values: dict[str, object] = {"unit": "calls", "limit": 20, "window": "day", **other}
    return Budget(name=name, scope=scope, match=match, **values)  # pyright: ignore[reportArgumentType]


def buckets(*budgets: Budget, principal: Principal = PLANNER, capability: Capability = GIT_LOG) -> list[str]:
    return [charge.bucket for charge in charges_for(budgets, principal, capability, NOON)]


def test_a_call_draws_on_tenant_teams_agent_and_capability_in_this_order() -> None:
    budgets = [budget(scope, scope) for scope in reversed(SCOPES)]
    assert buckets(*budgets) == [
        "tenant/acme",
        "team/acme/ops",
        "team/acme/research",
        "agent/acme/planner",
        "capability/acme/git__git_log",
        "edge/acme/planner/git",
    ]


def test_inside_a_scope_budgets_keep_their_order() -> None:
    assert buckets(budget("z"), budget("a"), budget("t", "tenant")) == ["t/acme", "z/acme/planner", "a/acme/planner"]


def test_a_charge_says_all_the_ledger_needs() -> None:
    monthly = budget("money", "tenant", unit="micros", limit=1000, window="month")
    assert charges_for([monthly], PLANNER, GIT_LOG, NOON) == (
        Charge(bucket="money/acme", window="2026-11", amount=250, limit=1000, unit="micros", scope="tenant"),
    )


def test_a_call_counts_as_one_whatever_it_costs() -> None:
    (charge,) = charges_for([budget()], PLANNER, GIT_LOG, NOON)
    assert (charge.amount, charge.window) == (1, "2026-11-22")


def test_what_is_free_draws_on_no_money() -> None:
    assert buckets(budget(unit="micros"), capability=replace(GIT_LOG, price_micros=0)) == []


@pytest.mark.parametrize("price", [-1, MAX_AMOUNT + 1])
def test_a_price_that_would_give_money_back_or_overflow_is_refused(price: int) -> None:
    with pytest.raises(Unavailable, match="the price of `git__git_log` is out of range"):
        charges_for([budget()], PLANNER, replace(GIT_LOG, price_micros=price), NOON)


def test_a_budget_draws_only_on_whom_it_matches() -> None:
    assert buckets(budget("a", "team", "acme/research")) == ["a/acme/research"]
    assert (
        buckets(budget("a", "team", "other/*"), budget("b", "tenant", "other"), budget("c", "agent", "acme/coder"))
        == []
    )


def test_a_team_named_twice_is_charged_once() -> None:
    twice = replace(PLANNER, teams=("acme/ops", "acme/ops"))
    assert buckets(budget("a", "team"), principal=twice) == ["a/acme/ops"]


@pytest.mark.parametrize("match", ["git__git_log", "git__*", "acme/git__*", "*"])
def test_a_capability_is_matched_by_its_name_or_with_its_tenant(match: str) -> None:
    assert buckets(budget("a", "capability", match)) == ["a/acme/git__git_log"]


def test_two_tenants_never_share_a_bucket_of_one_capability() -> None:
    other = replace(PLANNER, tenant="globex", teams=())
    mine, theirs = (buckets(budget("a", "capability", "git__*"), principal=who) for who in (PLANNER, other))
    assert set(mine).isdisjoint(theirs)
    assert buckets(budget("a", "capability", "acme/git__*"), principal=other) == []


def test_a_slash_in_a_tenant_or_subject_makes_nobody_else() -> None:
    one = Principal(kind="user", id="x/y", tenant="acme")
    two = Principal(kind="user", id="y", tenant="acme/x")
    assert buckets(budget("a"), principal=one) != buckets(budget("a"), principal=two)
    three = Principal(kind="user", id="y", tenant="acme%2Fx")
    assert buckets(budget("a"), principal=two) != buckets(budget("a"), principal=three)


def test_users_and_workloads_cannot_escape_an_agents_budget() -> None:
    kinds = ("agent", "user", "workload")
    assert {tuple(buckets(budget(), principal=replace(PLANNER, kind=kind))) for kind in kinds} == {("b/acme/planner",)}


def test_a_call_with_too_many_budgets_is_refused() -> None:
    crowd = replace(PLANNER, teams=tuple(f"acme/{n}" for n in range(65)))
    with pytest.raises(Unavailable, match="more than 64 budgets"):
        buckets(budget("a", "team"), principal=crowd)


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "a/b"}, {"match": ""}, {"limit": -1}, {"limit": MAX_AMOUNT + 1}]
)
def test_a_budget_that_makes_no_sense_cannot_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        budget(**wrong)  # pyright: ignore[reportArgumentType]


texts = st.text("ab/", max_size=8)


@given(st.text("ab/*", max_size=8), texts)
def test_a_pattern_matches_what_a_shell_would_match(pattern: str, text: str) -> None:
    assert matches(pattern, text) == fnmatchcase(text, pattern)


def test_a_pattern_of_stars_is_no_way_to_keep_the_gateway_busy() -> None:
    assert not matches("*a" * 500 + "*b*", "a" * 10_000)


@pytest.mark.parametrize("pattern", ["?", "[a-z]", "a.*c"])
def test_only_the_star_is_special(pattern: str) -> None:
    assert not matches(pattern, "a")
    assert not matches(pattern, "abc")


def test_a_refusal_names_the_budget_what_is_used_and_when_it_resets() -> None:
    charge = Charge("daily/acme/planner", "2026-11-22", 1, 20)
    refusal = over_budget(charge, spent=18, held=2, now=NOON)
    assert (refusal.code, refusal.message, refusal.hint, refusal.retry_after_s) == (
        "over_budget",
        "budget `daily` allows agent `acme/planner` 20 calls per day; 18 spent, 2 held, and this call needs 1",
        "the day ends in 43200 seconds",
        43_200,
    )
    assert refusal.details == {
        "budget": "daily",
        "scope": "agent",
        "subject": "acme/planner",
        "unit": "calls",
        "limit": 20,
        "spent": 18,
        "held": 2,
        "needed": 1,
        "window": "2026-11-22",
        "resets_at": 1_795_392_000,
    }


def test_a_refusal_that_may_pass_sooner_says_when() -> None:
    charge = Charge("daily/acme", "2026-11", 1, 20, scope="tenant")
    assert over_budget(charge, spent=0, held=20, now=NOON, retry_s=1.0).retry_after_s == 1.0


def test_a_total_that_is_used_up_needs_the_operator() -> None:
    refusal = over_budget(Charge("b/acme", "total", 1, 1), spent=1, held=0, now=NOON)
    assert (refusal.retry_after_s, refusal.hint) == (None, "ask the operator for a higher limit")
    assert "1 call in total" in refusal.message


def test_a_call_dearer_than_the_whole_limit_is_not_told_to_wait() -> None:
    refusal = over_budget(Charge("b/acme", "2026-11", 500, 100, "micros"), spent=0, held=0, now=NOON, retry_s=1.0)
    assert refusal.retry_after_s is None
    assert refusal.message.endswith("100 micros per month, and this call may cost 500 micros")


def test_a_table_answers_as_the_function_does_and_follows_the_day() -> None:
    budgets = [budget(scope, scope) for scope in SCOPES]
    table = ChargeTable(budgets)
    for now in (NOON, NOON + 1, NOON + 86_400, NOON):
        assert table.charges_for(PLANNER, GIT_LOG, now) == charges_for(budgets, PLANNER, GIT_LOG, now)
    assert table.charges_for(PLANNER, GIT_LOG, NOON) is table.charges_for(PLANNER, GIT_LOG, NOON + 1)


def test_a_table_sees_a_new_price_or_team() -> None:
    table = ChargeTable([budget("m", "tenant", unit="micros"), budget("t", "team")])
    before = table.charges_for(PLANNER, GIT_LOG, NOON)
    assert table.charges_for(PLANNER, replace(GIT_LOG, price_micros=9), NOON)[0].amount == 9
    assert len(table.charges_for(replace(PLANNER, teams=()), GIT_LOG, NOON)) == len(before) - 2


def test_a_table_is_bounded_and_still_right() -> None:
    table = ChargeTable([budget()], max_remembered=2)
    for number in (1, 2, 3, 1):
        who = replace(PLANNER, id=str(number))
        assert table.charges_for(who, GIT_LOG, NOON) == charges_for([budget()], who, GIT_LOG, NOON)


def test_without_budgets_nothing_is_charged() -> None:
    assert ChargeTable([]).charges_for(PLANNER, GIT_LOG, NOON) == ()


# --- calls through agents --------------------------------------------------------------------


def test_an_edge_is_who_calls_and_which_upstream_is_called() -> None:
    assert buckets(budget("e", "edge")) == ["e/acme/planner/git"]
    for match in ("planner/git", "acme/planner/git", "*/git", "planner/*"):
        assert buckets(budget("e", "edge", match)) == ["e/acme/planner/git"]
    assert buckets(budget("e", "edge", "planner/other")) == []


def test_a_transaction_has_one_purse_whoever_calls_in_it() -> None:
    first = replace(PLANNER, txn="t-1")
    second = Principal(kind="agent", id="worker", tenant="acme", txn="t-1", chain=(Hop("i", "planner", True),))
    assert buckets(budget("r", "root", "acme/planner"), principal=first) == ["r/acme/t-1"]
    assert buckets(budget("r", "root", "acme/planner"), principal=second) == ["r/acme/t-1"]
    assert buckets(budget("r", "root", "acme/worker"), principal=second) == []
    assert buckets(budget("r", "root"), principal=PLANNER) == [], "a call outside any transaction draws on none"


def test_a_table_keeps_transactions_apart() -> None:
    table = ChargeTable([budget("r", "root")])
    found = [table.charges_for(replace(PLANNER, txn=txn), GIT_LOG, NOON)[0].bucket for txn in ("t-1", "t-2", "t-1")]
    assert found == ["r/acme/t-1", "r/acme/t-2", "r/acme/t-1"]


def test_a_purse_of_a_transaction_ends() -> None:
    with pytest.raises(ValueError, match="a transaction ends"):
        Budget("r", "root", "*", "calls", 1, "total")
