"""The leg in which the gateway is the client: one run of the suite for each scenario, two at a time.

The `auth/*` scenarios are not here: they test a client that finds its authorization server by itself and lets
a user consent; the gateway's credentials for upstreams are configured.
"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from conformance.suite import Check, Found, run_client

AT_ONCE: Final = 2
_BOTH: Final = ("tools_call", "json-schema-2020-12-preservation")
SCENARIOS: Final[Mapping[str, Sequence[str]]] = {
    "2025-06-18": ("initialize", "tools_call"),
    "2025-11-25": ("initialize", "elicitation-sep1034-client-defaults", "sse-retry", *_BOTH),
    "2026-07-28": (
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        *_BOTH,
    ),
}
COMMAND: Final = (sys.executable, "-W", "ignore", "-m", "conformance.client_command")


def run(version: str, folder: Path) -> Found:
    """Run every scenario of one version; return what all of them found."""

    def one(scenario: str) -> Found:
        return run_client(COMMAND, version, folder / scenario, scenario)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return together(list(pool.map(one, SCENARIOS[version])))


def alone(version: str, folder: Path, scenario: str) -> Found:
    """Run one scenario once more."""
    return run_client(COMMAND, version, folder, scenario)


def together(found: Sequence[Found]) -> Found:
    """Return the sum of several runs, whose scenarios differ."""
    bad: dict[Check, str] = {}
    good: set[Check] = set()
    for one in found:
        bad |= one.bad
        good |= one.good
    return Found(sum(one.passed for one in found), sum(one.failed for one in found), frozenset(good), bad)
