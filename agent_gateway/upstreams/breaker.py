"""A circuit breaker: after a row of transport failures an upstream is left alone for a while.

No timer and no lock: state changes when somebody asks. What counts as a transport
failure is decided here; an error that the upstream *said* never does, nor does a
deadline that a caller chose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from random import random

from agent_gateway.ports import Clock, Health
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable

_COUNTS = frozenset({"upstream_unreachable", "upstream_tls", "upstream_died", "upstream_bad_gateway"})
_SPOKE = frozenset({"upstream_unauthorized", "upstream_http_error", "upstream_redirect", "upstream_garbage"})


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    failures: int = 5  # in a row, until the upstream counts as down
    first_pause_s: float = 1.0
    max_pause_s: float = 30.0
    trial_s: float = 30.0  # one request at a time tries a down upstream; a silent trial ends after this


class Breaker:
    """Whether one upstream may be called now, and how it has been doing.

    jitter  numbers in 0..1; a pause is shortened by up to a quarter so that workers do not try in step
    """

    def __init__(
        self, clock: Clock, limits: BreakerLimits | None = None, *, jitter: Callable[[], float] = random
    ) -> None:
        self._clock = clock
        self._limits = limits or BreakerLimits()
        self._jitter = jitter
        self._health = Health("unknown")
        self._failures = 0
        self._pauses = 0
        self._retry_at = 0.0
        self.success_count = 0
        self.failure_count = 0

    def check(self) -> None:
        """Let a request pass, or raise `UpstreamUnreachable` (code `upstream_down`) with the time to wait."""
        if self._health.state != "down":
            return
        now = self._clock()
        if now < self._retry_at:
            raise UpstreamUnreachable(
                "this upstream is down and is left alone for a moment",
                code="upstream_down",
                retry_after_s=ceil((self._retry_at - now) * 1000) / 1000,
            )
        self._retry_at = now + self._limits.trial_s  # this one is the trial; the others wait for it

    def succeeded(self) -> None:
        self.success_count += 1
        self._failures = self._pauses = 0
        if self._health.state != "up":
            self._health = Health("up", self._clock())

    def failed(self, failure: UpstreamFailed) -> None:
        """Take note of a failed request, whatever failed in it."""
        if failure.code in _SPOKE:
            self.succeeded()  # whatever it said, it is there
        if failure.code not in _COUNTS:
            return
        self.failure_count += 1
        self._failures += 1
        is_down = self._health.state == "down"
        if not is_down and self._failures < self._limits.failures:
            return
        limits = self._limits
        pause = min(limits.max_pause_s, limits.first_pause_s * 2 ** min(self._pauses, 16))
        self._pauses += 1
        now = self._clock()
        self._retry_at = now + pause * (1 - self._jitter() / 4)
        self._health = Health("down", self._health.since if is_down else now, failure.message)

    def health(self) -> Health:
        return self._health
