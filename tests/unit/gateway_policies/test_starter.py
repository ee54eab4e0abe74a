"""The policies that ship."""

from dataclasses import replace
from pathlib import Path

from gateway_policies.principal import Hop
from support.policy_worlds import ANA, LOG, NOTES, NOW, OTHERS, PLANNER, PUSH, REVIEW, ROBOT, WIPE, bundle, call, names

STARTER = (Path(__file__).parents[3] / "policies" / "bundles" / "starter.cedar").read_text(encoding="utf-8")
TOOLS = (LOG, PUSH, WIPE, NOW)


def test_the_starter_lets_all_read_and_few_do_what_is_dangerous() -> None:
    made = bundle(STARTER)
    assert made.findings == ()
    assert names(made.visible(PLANNER, TOOLS)) == names(made.visible(ANA, TOOLS)) == ["git__log", "time__now"]
    assert made.visible(ROBOT, TOOLS) == list(TOOLS)


def test_the_starter_forbids_danger_whatever_else_is_permitted() -> None:
    decision = bundle(STARTER, "permit(principal, action, resource);").decide(call(PLANNER, WIPE))
    assert (decision.code, decision.policies) == ("forbidden", ("starter-no-danger",))
    assert decision.reasons[0].hint


def test_the_starter_forbids_long_chains() -> None:
    chained = replace(ANA, chain=tuple(Hop("i", str(n), True) for n in range(4)))
    assert bundle(STARTER).decide(call(chained, LOG)).policies == ("starter-short-chain",)


def test_the_starter_speaks_of_every_kind() -> None:
    made = bundle(STARTER)
    assert made.visible(PLANNER, OTHERS) == [REVIEW, NOTES]
    assert made.visible(ROBOT, OTHERS) == list(OTHERS)
    assert made.visible(replace(PLANNER, trust=0), OTHERS) == [REVIEW, NOTES]
