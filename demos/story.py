"""How the demonstration talks: numbered steps, what is expected, and a stop at the first surprise."""

import sys
import time
from collections.abc import Iterable

_BOLD, _DIM, _GREEN, _RED, _OFF = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 5
)


class Surprise(Exception):
    """Something did not go as the demonstration says it does."""


class Story:
    """Narrates, checks, and counts."""

    def __init__(self) -> None:
        self._step = 0
        self._checks = 0
        self._began = time.monotonic()

    def step(self, title: str) -> None:
        """Begin a numbered step."""
        self._step += 1
        print(f"\n{_BOLD}{self._step}. {title}{_OFF}", flush=True)

    def say(self, text: str) -> None:
        """Tell one line."""
        print(f"   {text}", flush=True)

    def show(self, lines: str | Iterable[str]) -> None:
        """Show what a program printed."""
        for line in lines.splitlines() if isinstance(lines, str) else lines:
            print(f"   {_DIM}│ {line}{_OFF}", flush=True)

    def check(self, claim: str, *, holds: bool, seen: object = "") -> None:
        """State a claim and stop the demonstration unless it holds."""
        if not holds:
            print(f"   {_RED}✗ {claim}{_OFF}", flush=True)
            raise Surprise(f"{claim}; seen: {seen!r}")
        self._checks += 1
        print(f"   {_GREEN}✓{_OFF} {claim}", flush=True)

    def end(self) -> None:
        """Say how it went."""
        took_s = time.monotonic() - self._began
        print(f"\n{_BOLD}{self._checks} claims held in {took_s:.0f} seconds.{_OFF}", flush=True)
