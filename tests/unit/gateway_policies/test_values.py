"""Values that are known, unknown or failed."""

from gateway_policies.values import FAILED, Unknown, depends_on, unknown


def test_a_record_depends_on_what_its_members_depend_on() -> None:
    assert depends_on({"a": 1, "b": {"c": unknown("context.args.x")}}) == {"context.args.x"}


def test_plain_and_failed_values_depend_on_nothing() -> None:
    assert depends_on("x") == depends_on(FAILED) == depends_on(Unknown()) == frozenset()
