"""Reach: patterns that cannot match anything, found before a tool is missed."""

from collections.abc import Iterator, Sequence

from agent_gateway.config.problems import Fault, Path
from agent_gateway.config.root import Config

SEPARATOR = "__"


def check_reach(config: Config) -> Iterator[Fault]:
    """Yield a warning for each toolset pattern that no tool of any upstream can match."""
    upstreams = [name for name, upstream in config.upstreams.items() if upstream.enabled]
    for name, toolset in config.toolsets.items():
        yield from _patterns(("toolsets", name, "include"), toolset.include, upstreams)
        yield from _patterns(("toolsets", name, "exclude"), toolset.exclude, upstreams)


def can_match(pattern: str, prefix: str) -> bool:
    """Say whether some text that starts with `prefix`, and goes on, matches `pattern` (`*` and `?`)."""
    states = _closure(pattern, {0})
    for character in prefix:
        stepped = {at if pattern[at] == "*" else at + 1 for at in states if _takes(pattern, at, character)}
        states = _closure(pattern, stepped)
    return any(at < len(pattern) for at in states)


def _takes(pattern: str, at: int, character: str) -> bool:
    return at < len(pattern) and pattern[at] in ("*", "?", character)


def _closure(pattern: str, states: set[int]) -> set[int]:
    """`states` and where a run of stars, each matching nothing, leads from them."""
    reached: set[int] = set()
    for start in states:
        at = start
        reached.add(at)
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            reached.add(at)
    return reached


def _patterns(here: Path, patterns: Sequence[str], upstreams: Sequence[str]) -> Iterator[Fault]:
    for at, pattern in enumerate(patterns):
        if pattern != "*" and not any(can_match(pattern, name + SEPARATOR) for name in upstreams):
            hint = f"names are `{{upstream}}{SEPARATOR}{{tool}}`"
            yield Fault((*here, at), f"`{pattern}` can match no tool of any upstream", hint, severity="warning")
