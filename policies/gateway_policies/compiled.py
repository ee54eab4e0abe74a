"""The compiled engine: the conditions of `partial` on a call of which everything is known.

A tenth of the cost of asking Cedar, and the same answer: a fuzz test holds the two together.
Whatever it is not sure of (a condition that fails, or one outside the compiled subset) it
leaves to `engine`, so that an error is always told in Cedar's own way.
"""

from collections.abc import Sequence

from gateway_policies.engine import Verdict
from gateway_policies.partial import Scene
from gateway_policies.rules import Rules


def judge(rules: Rules, policies: Sequence[int], scene: Scene) -> Verdict | None:
    """Return the verdict of the policies in scope; None when one of them is neither true nor false here.

    policies  positions in `rules`; the verdict's own positions count within these
    """
    permits: list[int] = []
    forbids: list[int] = []
    for number, position in enumerate(policies):
        value = rules.conditions[position](scene)
        if value is True:
            (permits if rules.policies[position].effect == "permit" else forbids).append(number)
        elif value is not False:
            return None
    return Verdict(
        is_allowed=bool(permits) and not forbids,
        determining=tuple(forbids or permits),
        failed=(),
        is_complete=True,
    )
