"""Windows: the stretch of time that a budget counts over.

A window is named by its id: `2026-11-23` (a day), `2026-11` (a month) or `total`
(for ever). Days and months are those of UTC. Functions of unix seconds; no clock.
"""

from datetime import UTC, datetime
from math import floor
from typing import Literal

WindowKind = Literal["day", "month", "total"]

TOTAL = "total"
DAY_S = 86_400
_DECEMBER = 12
_FORMATS = {len("2026-11-23"): "%Y-%m-%d", len("2026-11"): "%Y-%m"}


def window_at(kind: WindowKind, now: float) -> str:
    """Return the id of the window that is open at `now`.

    now  unix seconds, from 1970 to 9999; anything else raises `ValueError` or `OverflowError`
    """
    if kind == "total":
        return TOTAL
    day = _date(now).strftime("%Y-%m-%d")
    return day if kind == "day" else day[:7]


def kind_of(window: str) -> WindowKind:
    """Return which kind of window an id names; raises `ValueError` for no id at all."""
    if window == TOTAL:
        return "total"
    _start(window)
    return "day" if len(window) == len("2026-11-23") else "month"


def resets_at(window: str) -> int | None:
    """Return the unix second at which the next window opens; None: never.

    Raises `ValueError` for anything that is no window id.
    """
    if window == TOTAL:
        return None
    start = _start(window)
    if len(window) == len("2026-11-23"):
        return floor(start.timestamp()) + DAY_S
    after_december = start.month == _DECEMBER
    following = datetime(start.year + after_december, 1 if after_december else start.month + 1, 1, tzinfo=UTC)
    return floor(following.timestamp())


def seconds_until_reset(window: str, now: float) -> int | None:
    """Return the whole seconds, rounded up, until `window` is over; 0 once it is, None for `total`."""
    end = resets_at(window)
    return None if end is None else max(0, end - floor(now))


def _date(now: float) -> datetime:
    if now < 0:
        raise ValueError("time before 1970 is no time for a budget")
    return datetime.fromtimestamp(floor(now), UTC)


def _start(window: str) -> datetime:
    form = _FORMATS.get(len(window))
    if form is None:
        raise ValueError(f"`{window[:40]}` is no window")
    return datetime.strptime(window, form).replace(tzinfo=UTC)
