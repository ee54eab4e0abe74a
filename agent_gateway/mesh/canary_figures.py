"""Figures of a canary: how calls of either version ended, from the outcomes that the audit log holds."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

SCHEMA: Final = "invalid_arguments"  # the code of a call that its tool's schema refused
_REACHED: Final = ("ok", "tool_error", "upstream_error", "timeout")


@dataclass(frozen=True, slots=True)
class Figures:
    """How calls of one version went.

    errors          calls that did not end well, by `status` or `status: code`
    refused_by_schema  those of them whose arguments broke the tool's schema
    p50_ms, p95_ms  of the calls that reached the API; 0 when none did
    """

    calls: int = 0
    errors: Mapping[str, int] = field(default_factory=dict[str, int])
    refused_by_schema: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0


def figures(records: Iterable[Mapping[str, object]], names: Collection[str]) -> Figures:
    """Return the figures of the tools with these public names; records other than outcomes do not count."""
    errors: Counter[str] = Counter()
    took: list[int] = []
    calls = refused = 0
    for record in records:
        if record.get("kind") != "outcome" or record.get("capability") not in names:
            continue
        calls += 1
        status, code, duration = str(record.get("status")), str(record.get("code") or ""), record.get("duration_us")
        if status != "ok":
            errors[f"{status}: {code}" if code else status] += 1
        refused += code == SCHEMA
        if status in _REACHED and isinstance(duration, int):
            took.append(duration)
    took.sort()
    return Figures(calls, dict(sorted(errors.items())), refused, _percentile_ms(took, 50), _percentile_ms(took, 95))


def _percentile_ms(took_us: list[int], percent: int) -> float:
    """Return the nearest-rank percentile of sorted microseconds, in milliseconds."""
    if not took_us:
        return 0.0
    rank = -(-len(took_us) * percent // 100)
    return round(took_us[rank - 1] / 1000, 3)
