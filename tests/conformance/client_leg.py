"""The legs in which the gateway is the client: one run of the suite for each scenario, two at a time.

`auth/2025-03-26-*` are not here: they are of a version that the suite runs for nothing else.
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
_AUTH: Final = (
    "metadata-default",
    "metadata-var1",
    "metadata-var2",
    "metadata-var3",
    "basic-cimd",
    "scope-from-www-authenticate",
    "scope-from-scopes-supported",
    "scope-omitted-when-undefined",
    "scope-step-up",
    "scope-retry-limit",
    "pre-registration",
)
_PROOFS: Final = ("token-endpoint-auth-basic", "token-endpoint-auth-post", "token-endpoint-auth-none")
AUTH_SCENARIOS: Final[Mapping[str, Sequence[str]]] = {
    "2025-06-18": _PROOFS,
    "2025-11-25": (*_AUTH, *_PROOFS),
    "2026-07-28": (
        *_AUTH,
        *_PROOFS,
        "resource-mismatch",
        "offline-access-scope",
        "offline-access-not-supported",
        "authorization-server-migration",
        "iss-supported",
        "iss-not-advertised",
        "iss-supported-missing",
        "iss-wrong-issuer",
        "iss-unexpected",
        "iss-normalized",
        "metadata-issuer-mismatch",
        "client-credentials-jwt",
        "client-credentials-basic",
        "wif-jwt-bearer",
        "enterprise-managed-authorization",
        "dpop",
        "dpop-nonce",
    ),
}
COMMAND: Final = (sys.executable, "-W", "ignore", "-m", "conformance.client_command")


def run(scenarios: Sequence[str], version: str, folder: Path) -> Found:
    """Run these scenarios in one version; return what all of them found."""

    def one(scenario: str) -> Found:
        return run_client(COMMAND, version, folder / scenario, scenario)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return together(list(pool.map(one, scenarios)))


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
