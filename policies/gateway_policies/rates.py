"""Rates: how fast a subject may call, by the generic cell rate algorithm (GCRA).

One integer per subject: the nanosecond at which it would be even again (the
"theoretical arrival time"). Smooth, exact about when to retry, and no window
whose edge lets twice as much through. Rates shape, budgets promise: a rate is
kept per worker process, `share` splits it, and a restart forgets it.

Source: ATM Forum TM 4.0, virtual scheduling form of GCRA.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway_policies.budgets import Scope, matches, subjects_of
from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from gateway_policies.refusal import OverRate

SECOND_NS = 1_000_000_000
MAX_PERIOD_S = 10 * 366 * 86_400
MAX_COUNT = 1_000_000_000
MAX_REMEMBERED = 50_000  # callers and capabilities whose keys are kept
MAX_SUBJECTS = 100_000  # whose arrival times one worker remembers
_MILLISECOND_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` calls in each `period_s` seconds for each matching subject, `burst` of them at once.

    `scope` and `match` mean what they mean in `gateway_policies.budgets`.
    Raises `ValueError` unless count, period and burst are at least 1 and within their limits.
    """

    name: str
    scope: Scope
    match: str
    count: int
    period_s: int = 1
    burst: int = 1
    interval_ns: int = field(init=False, compare=False, repr=False)  # between two calls at an even pace, never faster

    def __post_init__(self) -> None:
        if self.scope == "root":
            raise ValueError(f"rate `{self.name}`: a transaction has budgets, not rates")
        if not self.name or "/" in self.name or not self.match:
            raise ValueError(f"rate `{self.name}` needs a name without a `/`, and something to match")
        if not 1 <= self.count <= MAX_COUNT or not 1 <= self.burst <= MAX_COUNT:
            raise ValueError(f"count and burst of rate `{self.name}` must be from 1 to {MAX_COUNT}")
        if not 1 <= self.period_s <= MAX_PERIOD_S:
            raise ValueError(f"the period of rate `{self.name}` must be from 1 to {MAX_PERIOD_S} seconds")
        object.__setattr__(self, "interval_ns", -(-self.period_s * SECOND_NS // self.count))  # rounded up


@dataclass(frozen=True, slots=True)
class RateKey:
    """One subject's place in one rate."""

    bucket: str  # `{rate}/{subject}`
    rate: Rate


def share(rate: Rate, workers: int) -> Rate:
    """Return the part of a rate that one of `workers` processes may let through.

    Together they never pass more than `rate`, except that each has a burst of at least one.
    Raises `ValueError` when the period, times `workers`, is beyond `MAX_PERIOD_S`.
    """
    return replace(rate, period_s=rate.period_s * workers, burst=max(1, rate.burst // workers))


def keys_for(rates: Iterable[Rate], principal: Principal, capability: Capability) -> tuple[RateKey, ...]:
    """Return every subject whose rate a call of `capability` by `principal` must keep to."""
    return tuple(
        RateKey(f"{rate.name}/{subject}", rate)
        for rate in rates
        for subject, names in subjects_of(rate.scope, principal, capability)
        if any(matches(rate.match, name) for name in names)
    )


class RateRules:
    """`keys_for` of one set of rates, remembered: matching on every call would cost more than the rate itself.

    Bounded: beyond `max_remembered` the answer worked out longest ago is forgotten. Belongs to one snapshot.
    """

    def __init__(self, rates: Iterable[Rate], max_remembered: int = MAX_REMEMBERED) -> None:
        self._rates = tuple(rates)
        self._max_remembered = max_remembered
        self._known: dict[tuple[object, ...], tuple[RateKey, ...]] = {}

    def keys_for(self, principal: Principal, capability: Capability) -> tuple[RateKey, ...]:
        """Return what `keys_for` returns."""
        if not self._rates:
            return ()
        key = (principal.tenant, principal.id, principal.teams, capability.kind, capability.name)
        keys = self._known.get(key)
        if keys is None:
            keys = self._known[key] = keys_for(self._rates, principal, capability)
            if len(self._known) > self._max_remembered:
                del self._known[next(iter(self._known))]
        return keys


def step(arrival_ns: int, now_ns: int, rate: Rate) -> tuple[int, int]:
    """Take one call at `now_ns`: return (next arrival time, nanoseconds to wait).

    arrival_ns  what the last call left behind; 0 for a subject never seen

    With a wait of 0 the call may go. Otherwise the arrival time is unchanged, and the same
    call goes through after exactly that wait, and not a nanosecond earlier.
    """
    interval_ns = rate.interval_ns
    arrival = (arrival_ns if arrival_ns > now_ns else now_ns) + interval_ns
    wait_ns = arrival - rate.burst * interval_ns - now_ns
    return (arrival_ns, wait_ns) if wait_ns > 0 else (arrival, 0)


class RateTable:
    """The arrival times of the subjects seen last, by bucket.

    Bounded: beyond `max_subjects` the one that called longest ago is forgotten, which
    gives it a full burst. Not thread-safe; belongs to one event loop.
    """

    def __init__(self, max_subjects: int = MAX_SUBJECTS) -> None:
        self._max_subjects = max_subjects
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._arrivals)

    def take(self, keys: Sequence[RateKey], now_ns: int) -> None:
        """Let one call through all of `keys`, or through none.

        now_ns  nanoseconds of a clock that does not go back; which one does not matter

        Raises `OverRate` naming the rate with the longest wait, after which the call goes.
        """
        arrivals = self._arrivals
        steps: list[tuple[str, int]] = []
        slowest: RateKey | None = None
        longest_ns = 0
        for key in keys:
            arrival, wait_ns = step(arrivals.get(key.bucket, 0), now_ns, key.rate)
            steps.append((key.bucket, arrival))
            if wait_ns > longest_ns:
                slowest, longest_ns = key, wait_ns
        if slowest is not None:
            raise _over_rate(slowest, longest_ns)
        for bucket, arrival in steps:
            arrivals[bucket] = arrival
            arrivals.move_to_end(bucket)
        while len(arrivals) > self._max_subjects:
            arrivals.popitem(last=False)


def _over_rate(key: RateKey, wait_ns: int) -> OverRate:
    name, _, subject = key.bucket.partition("/")
    rate = key.rate
    wait_s = -(-wait_ns // _MILLISECOND_NS) / 1000
    return OverRate(
        f"rate `{name}` allows {rate.scope} `{subject}` {rate.count} calls in {rate.period_s} s, {rate.burst} at once",
        hint=f"wait {wait_s} s",
        details={"rate": name, "scope": rate.scope, "subject": subject, "count": rate.count, "period_s": rate.period_s},
        retry_after_s=wait_s,
    )
