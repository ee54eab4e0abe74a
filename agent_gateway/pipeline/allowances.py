"""Which budgets and rates one kind of call draws on: worked out once a day, for each caller and capability.

Matching patterns and naming windows on every call would cost more than the
hold itself. Windows are those of UTC days and months, so an answer holds until
the next midnight.
"""

from dataclasses import dataclass, field

from agent_gateway.ports import Charge
from gateway_policies.budgets import Budget, charges_for
from gateway_policies.call import Call
from gateway_policies.rates import Rate, RateKey, keys_for

MAX_REMEMBERED = 50_000
_DAY_S = 86_400

_Key = tuple[str, tuple[str, ...], str, str]


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a call draws on, and until when (unix seconds) that is so."""

    charges: tuple[Charge, ...]
    rate_keys: tuple[RateKey, ...]
    until: float


@dataclass(frozen=True, slots=True)
class Allowances:
    """The budgets and rates of one snapshot."""

    budgets: tuple[Budget, ...] = ()
    rates: tuple[Rate, ...] = ()
    _known: dict[_Key, Allowance] = field(default_factory=dict[_Key, Allowance], compare=False)

    def of(self, call: Call) -> Allowance:
        """Return what `call` draws on. Raises like `charges_for`."""
        principal = call.principal
        key = (principal.tenant, principal.teams, principal.id, call.capability.name)
        found = self._known.get(key)
        if found is not None and call.at < found.until:
            return found
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        found = Allowance(
            charges_for(self.budgets, principal, call.capability, call.at),
            keys_for(self.rates, principal, call.capability),
            (call.at // _DAY_S + 1) * _DAY_S,
        )
        self._known[key] = found
        return found
