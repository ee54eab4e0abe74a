"""Budgets: which allowances a call draws on, and by how much.

Values only. Setting an amount aside, durably and for several processes at once,
is the ledger's work (`agent_gateway.stores`); here is which bucket it comes from.

A budget has one **bucket** per subject that it matches: `{budget}/{subject}`.

| scope | subject | `match` is tested against |
|---|---|---|
| tenant | `acme` | `acme` |
| team | `acme/research`, once for each team of the principal | `acme/research` |
| agent | `acme/planner`, whatever kind of principal it is | `acme/planner` |
| capability | `acme/git__git_log` | `git__git_log`, and `acme/git__git_log` |
| capability, no tool | `acme/prompt:git__review` | the same, and `prompt:git__review` |
| edge | `acme/planner/worker`: who calls, and which upstream is called | `planner/worker`, and `acme/planner/worker` |
| root | `acme/{transaction}`: one for all calls of all agents that come of one call | `acme/ana`: whom it is all for |

INVARIANT: every subject begins with a tenant. A capability's budget is a budget *per tenant*, so
no tenant can use up another's, or read from a refusal what another has spent.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from gateway_policies.refusal import OverBudget, Unavailable
from gateway_policies.units import MAX_AMOUNT, Unit, amount_text
from gateway_policies.windows import DAY_S, WindowKind, kind_of, resets_at, seconds_until_reset, window_at

Scope = Literal["tenant", "team", "agent", "capability", "edge", "root"]

SCOPES: tuple[Scope, ...] = ("tenant", "team", "agent", "capability", "edge", "root")
MAX_CHARGES = 64  # charges of one call
MAX_REMEMBERED = 10_000  # answers of one `ChargeTable`
_RANKS = {scope: rank for rank, scope in enumerate(SCOPES)}


@dataclass(frozen=True, slots=True)
class Budget:
    """What each matching subject may use in each window.

    match  a subject, or a pattern in which `*` stands for any text (also for none, also across `/`)

    Raises `ValueError` for a name with a `/`, an empty match, and a limit outside 0..`MAX_AMOUNT`.
    """

    name: str
    scope: Scope
    match: str
    unit: Unit
    limit: int
    window: WindowKind

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"`{self.name}` is no name for a budget: it needs one, without a `/`")
        if not self.match:
            raise ValueError(f"budget `{self.name}` matches nothing: say `*` for every {self.scope}")
        if not 0 <= self.limit <= MAX_AMOUNT:
            raise ValueError(f"the limit of budget `{self.name}` must be from 0 to {MAX_AMOUNT}")
        if self.scope == "root" and self.window == "total":
            raise ValueError(f"a transaction ends: budget `{self.name}` needs a window that ends too")


@dataclass(frozen=True, slots=True)
class Charge:
    """What one call may take from one bucket of one budget."""

    bucket: str  # `{budget}/{subject}`: one subject's share of a budget
    window: str  # `2026-11-23`, `2026-11` or `total`
    amount: int  # calls, or micros of money
    limit: int
    unit: Unit = "calls"
    scope: Scope = "agent"


def charges_for(
    budgets: Iterable[Budget], principal: Principal, capability: Capability, now: float
) -> tuple[Charge, ...]:
    """Return what one call of `capability` by `principal` draws on, and from where.

    now      unix seconds; picks the windows
    Returns  tenants first, then teams, agents, capabilities; inside a scope as `budgets` are
             ordered. A budget in micros asks nothing of a capability that is free.

    Raises `Unavailable` when a price is out of range, or the call touches more than `MAX_CHARGES` buckets.
    """
    if not 0 <= capability.price_micros <= MAX_AMOUNT:
        raise Unavailable(f"the price of `{capability.name}` is out of range")
    charges: list[Charge] = []
    windows: dict[WindowKind, str] = {}
    for budget in sorted(budgets, key=_rank):
        amount = 1 if budget.unit == "calls" else capability.price_micros
        if not amount:
            continue
        for subject in _subjects(budget, principal, capability):
            window = windows.get(budget.window) or windows.setdefault(budget.window, window_at(budget.window, now))
            bucket = f"{budget.name}/{subject}"
            charges.append(Charge(bucket, window, amount, budget.limit, budget.unit, budget.scope))
    if len(charges) > MAX_CHARGES:
        raise Unavailable(f"this call draws on more than {MAX_CHARGES} budgets")
    return tuple(charges)


class ChargeTable:
    """`charges_for` of one set of budgets, remembered until the day is over.

    Bounded: beyond `max_remembered` the answer worked out longest ago is forgotten. Belongs to one snapshot.
    """

    def __init__(self, budgets: Iterable[Budget], max_remembered: int = MAX_REMEMBERED) -> None:
        self._budgets = tuple(sorted(budgets, key=_rank))
        self._max_remembered = max_remembered
        self._has_roots = any(budget.scope == "root" for budget in self._budgets)
        self._known: dict[tuple[object, ...], tuple[int, tuple[Charge, ...]]] = {}

    def charges_for(self, principal: Principal, capability: Capability, now: float) -> tuple[Charge, ...]:
        """Return what `charges_for` returns, and raise what it raises."""
        if not self._budgets:
            return ()
        key = (
            principal.tenant,
            principal.id,
            principal.teams,
            capability.kind,
            capability.name,
            capability.price_micros,
        )
        if self._has_roots:
            key = (*key, principal.txn, principal.chain[:1])
        day = floor(now / DAY_S)
        known = self._known.get(key)
        if known is not None and known[0] == day:
            return known[1]
        charges = charges_for(self._budgets, principal, capability, now)
        self._known[key] = (day, charges)
        if len(self._known) > self._max_remembered:
            del self._known[next(iter(self._known))]
        return charges


def matches(pattern: str, text: str) -> bool:
    """Return whether `text` is `pattern`, where each `*` of the pattern stands for any text.

    Time grows with the product of the lengths at worst; there is no backtracking.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in rest:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def over_budget(charge: Charge, *, spent: int, held: int, now: float, retry_s: float | None = None) -> OverBudget:
    """Return the refusal that tells a caller which budget is used up, and until when.

    spent    what calls have cost in this window, in the unit of the budget
    held     what is set aside for calls that still run, here or in another worker
    now      unix seconds
    retry_s  when trying again may help before the window resets

    A call that costs more than the whole limit is told so, with no time to retry at.
    """
    budget, _, subject = charge.bucket.partition("/")
    kind = kind_of(charge.window)
    allowance = f"{amount_text(charge.limit, charge.unit)} {'in total' if kind == 'total' else f'per {kind}'}"
    message = f"budget `{budget}` allows {charge.scope} `{subject}` {allowance}"
    reset_s = seconds_until_reset(charge.window, now)
    if charge.amount > charge.limit:
        message += f", and this call may cost {amount_text(charge.amount, charge.unit)}"
        hint, retry_s = "ask the operator for a higher limit", None
    else:
        message += f"; {spent} spent, {held} held, and this call needs {charge.amount}"
        hint = "ask the operator for a higher limit" if reset_s is None else f"the {kind} ends in {reset_s} seconds"
        retry_s = reset_s if retry_s is None else retry_s
    details: dict[str, object] = {
        "budget": budget,
        "scope": charge.scope,
        "subject": subject,
        "unit": charge.unit,
        "limit": charge.limit,
        "spent": spent,
        "held": held,
        "needed": charge.amount,
        "window": charge.window,
        "resets_at": resets_at(charge.window),
    }
    return OverBudget(message, hint=hint, details=details, retry_after_s=retry_s)


def subjects_of(scope: Scope, principal: Principal, capability: Capability) -> Sequence[tuple[str, tuple[str, ...]]]:
    """Return each subject of a scope with the texts that a `match` may name it by.

    A `/` inside a tenant's name is written `%2F`, so no two principals share a subject by accident.
    """
    tenant = principal.tenant
    safe = tenant.replace("%", "%25").replace("/", "%2F")
    if scope == "tenant":
        return ((safe, (tenant,)),)
    if scope == "team":
        return tuple((team, (team,)) for team in dict.fromkeys(principal.teams))
    if scope == "agent":
        return ((f"{safe}/{principal.id}", (principal.label,)),)
    if scope == "edge":
        edge = f"{principal.id}/{capability.upstream}"
        return ((f"{safe}/{edge}", (edge, f"{tenant}/{edge}")),)
    if scope == "root":
        first = principal.chain[0].subject if principal.chain else principal.id
        return ((f"{safe}/{principal.txn}", (f"{tenant}/{first}",)),) if principal.txn else ()
    name, label = capability.name, capability.label
    return ((f"{safe}/{label}", (name, f"{tenant}/{name}", label)),)


def _subjects(budget: Budget, principal: Principal, capability: Capability) -> Iterator[str]:
    for subject, names in subjects_of(budget.scope, principal, capability):
        if any(matches(budget.match, name) for name in names):
            yield subject


def _rank(budget: Budget) -> int:
    return _RANKS[budget.scope]
