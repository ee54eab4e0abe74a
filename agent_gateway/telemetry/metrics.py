"""Prometheus metrics of one worker, cheap enough for the path of a warm call.

Every name is here. Children are looked up once and kept. With several workers
`PROMETHEUS_MULTIPROC_DIR` is set before this module is imported, and `render`
adds the workers up.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway_policies.principal import Principal

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BOUNDS = (*BUCKETS, float("inf"))
MAX_NOTED = 10_000  # ended calls waiting to be booked
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Metrics:
    """The counters of this worker."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    calls: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    refusals: Counter = field(init=False)
    in_flight: Gauge = field(init=False)
    upstream_up: Gauge = field(init=False)
    reloads: Counter = field(init=False)
    list_tokens: Gauge = field(init=False)
    _counted: dict[tuple[str, str], Counter] = field(init=False, default_factory=dict[tuple[str, str], Counter])
    _timed: dict[str, Histogram] = field(init=False, default_factory=dict[str, Histogram])
    _noted: list[tuple[str, str, float]] = field(init=False, default_factory=list[tuple[str, str, float]])

    def __post_init__(self) -> None:
        register = self.registry
        self.calls = Counter(
            "agent_gateway_calls", "Calls that were decided on.", ["upstream", "status"], registry=register
        )
        self.seconds = Histogram(
            "agent_gateway_call_seconds",
            "Time from decision to outcome.",
            ["upstream"],
            buckets=BUCKETS,
            registry=register,
        )
        self.refusals = Counter(
            "agent_gateway_refusals", "Refusals by code, calls and requests alike.", ["code"], registry=register
        )
        self.in_flight = Gauge(
            "agent_gateway_calls_in_flight", "Calls running now.", registry=register, multiprocess_mode="livesum"
        )
        self.upstream_up = Gauge(
            "agent_gateway_upstream_up",
            "1 when the upstream answered last.",
            ["upstream"],
            registry=register,
            multiprocess_mode="livemin",
        )
        self.list_tokens = Gauge(
            "agent_gateway_list_tokens",
            "About how many tokens the last list of tools cost an agent.",
            ["tenant", "agent", "route"],
            registry=register,
            multiprocess_mode="livemax",
        )
        self.reloads = Counter("agent_gateway_reloads", "Configuration reloads.", ["result"], registry=register)

    def count_call(self, upstream: str, status: str, seconds: float) -> None:
        """Note one ended call; `settle` books it."""
        self._noted.append((upstream, status, seconds))
        if len(self._noted) >= MAX_NOTED:
            self.settle()

    def note_list(self, principal: Principal, route: str, tokens: int) -> None:
        """Note what a whole list of tools costs an agent; users are too many to be told apart here."""
        if principal.kind == "agent":
            self.list_tokens.labels(principal.tenant, principal.id, route).set(tokens)

    def settle(self) -> None:
        """Book what was noted; called every second, and before anyone reads."""
        noted, self._noted = self._noted, []
        counts: dict[tuple[str, str], int] = {}
        times: dict[str, list[float]] = {}
        for upstream, status, seconds in noted:
            counts[upstream, status] = counts.get((upstream, status), 0) + 1
            times.setdefault(upstream, []).append(seconds)
        for (upstream, status), count in counts.items():
            child = self._counted.get((upstream, status))
            if child is None:
                child = self._counted[upstream, status] = self.calls.labels(upstream, status)
            child.inc(count)
        for upstream, seconds_of in times.items():
            timed = self._timed.get(upstream)
            if timed is None:
                timed = self._timed[upstream] = self.seconds.labels(upstream)
            observe_all(timed, seconds_of)

    def count_refusal(self, code: str) -> None:
        """Book one refusal."""
        self.refusals.labels(code).inc()

    def render(self) -> bytes:
        """Return the exposition text, of all workers when they share a directory."""
        self.settle()
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        joint = CollectorRegistry()
        MultiProcessCollector(joint)
        return generate_latest(joint)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Do what `observe` does for each of `values`, with one step per bucket that any of them is in.

    Looks inside of the library, which has no such call; a test holds it to `observe`.
    """
    counts: dict[int, int] = {}
    for value in values:
        place = bisect_left(_BOUNDS, value)
        counts[place] = counts.get(place, 0) + 1
    histogram._sum.inc(sum(values))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    for place, count in counts.items():
        histogram._buckets[place].inc(count)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
