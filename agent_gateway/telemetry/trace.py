"""W3C Trace Context, by hand: read it, make our own span of it, write it on.

No tracing library is on the path of a call; a span is built from the record
afterwards (`spans`), and only for a sampled trace. Source: W3C Trace Context.
"""

import re
from collections.abc import Callable, Mapping

import msgspec

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_MAX_STATE = 512
_MAX_BAGGAGE = 8192

RandomBits = Callable[[int], int]


class Trace(msgspec.Struct, frozen=True):
    """Where this call stands in its trace. Ids are lower-case hex."""

    trace_id: str
    span_id: str  # ours
    parent_id: str = ""  # the caller's span, when there was one
    is_sampled: bool = False
    state: str = ""
    baggage: str = ""

    @property
    def traceparent(self) -> str:
        """Our span, as the header of that name says it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"

    def onward(self) -> dict[str, str]:
        """Return what an upstream gets: our span as parent, the caller's state and baggage."""
        headers = {"traceparent": self.traceparent}
        if self.state:
            headers["tracestate"] = self.state
        if self.baggage:
            headers["baggage"] = self.baggage
        return headers


def begin(context: Mapping[str, str], random_bits: RandomBits, sample_ratio: float = 0.0) -> Trace:
    """Return our span: a child of `context`'s `traceparent`, or the root of a new trace.

    A malformed header is treated as absent, as the standard says. `sample_ratio` (0..1) decides
    for traces that begin here; a caller's own choice is kept.
    """
    span_id = f"{random_bits(64) or 1:016x}"
    match = _TRACEPARENT.fullmatch(context.get("traceparent", ""))
    if match is None or int(match[1], 16) == 0 or int(match[2], 16) == 0:
        is_sampled = sample_ratio > 0 and random_bits(32) < sample_ratio * 2**32
        return Trace(f"{random_bits(128) or 1:032x}", span_id, is_sampled=is_sampled)
    state, baggage = context.get("tracestate", ""), context.get("baggage", "")
    return Trace(
        trace_id=match[1],
        span_id=span_id,
        parent_id=match[2],
        is_sampled=bool(int(match[3], 16) & 1),
        state=state if len(state) <= _MAX_STATE else "",
        baggage=baggage if len(baggage) <= _MAX_BAGGAGE else "",
    )
