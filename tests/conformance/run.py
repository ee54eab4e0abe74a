"""The official conformance suite at every way through the gateway: `make conformance`.

`python -m conformance.run [--leg NAME…] [--version V…] [--out DIR]` prints a table and
ends with 0 only when every failure is named in `expected/` and every name there
still fails. 75 says that the suite cannot be installed here.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from conformance import client_leg
from conformance.expected import Verdict, judge, load, shrink
from conformance.legs import AUTH, CLIENT, DIRECT, LEGS, TASK_LEGS, TASKS_DIRECT, VERSIONS, world
from conformance.suite import ENVIRONMENT, TASKS, Check, Found, run_scenarios, run_server
from demos.environments import EnvironmentFailed, ensure

SKIPPED: Final = 75
MODERN: Final = VERSIONS[-1]

Results = dict[tuple[str, str], Verdict]


def main(argv: Sequence[str]) -> int:
    """Run the legs named on the command line, all of them when none is; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the MCP conformance suite at every way through the gateway.")
    parser.add_argument("--leg", choices=[*LEGS], nargs="*", default=[*LEGS])
    parser.add_argument("--version", choices=VERSIONS, nargs="*", default=VERSIONS)
    parser.add_argument("--out", type=Path, help="keep what the suite writes in this directory")
    parser.add_argument("--shrink", action="store_true", help="take what passes now out of expected/")
    options = parser.parse_args(argv)
    try:
        ensure([ENVIRONMENT])
    except EnvironmentFailed as failed:
        print(failed)
        print("skipped: conformance, because the suite could not be installed")
        return SKIPPED
    with _folder(options.out) as folder:
        results = _serve(options.leg, options.version, folder)
    if options.shrink:
        results = {(leg, version): _shrunk(leg, version, verdict) for (leg, version), verdict in results.items()}
    _print_table(results)
    bad = [_explain(leg, version, verdict) for (leg, version), verdict in results.items() if not verdict.is_good]
    return 1 if bad else 0


def _serve(legs: Sequence[str], versions: Sequence[str], folder: Path) -> Results:
    results: Results = {}
    direct: dict[str, Found] = {}
    servers = [leg for leg in legs if leg not in (DIRECT, CLIENT, AUTH, *TASK_LEGS)]
    of_tasks = [TASKS_DIRECT, *(leg for leg in legs if leg in TASK_LEGS and leg != TASKS_DIRECT)]
    if servers or DIRECT in legs or TASK_LEGS.intersection(legs):
        with tempfile.TemporaryDirectory() as place, world(Path(place)) as found:
            for version in versions if servers or DIRECT in legs else ():
                for leg in [DIRECT, *servers]:
                    run = _Run(leg, version, folder / leg / version, found.urls[leg])
                    results[leg, version] = verdict = run.judged(direct.get(version))
                    if leg == DIRECT:
                        direct[version] = verdict.found
            alone: Found | None = None
            for leg in of_tasks if MODERN in versions and TASK_LEGS.intersection(legs) else ():
                run = _Run(leg, MODERN, folder / leg / MODERN, found.urls[leg])
                results[leg, MODERN] = verdict = run.judged(alone)
                alone = alone or verdict.found
    for leg in (CLIENT, AUTH):
        for version in versions if leg in legs else ():
            results[leg, version] = _Run(leg, version, folder / leg / version).judged(None)
    return results


@dataclass(frozen=True, slots=True)
class _Run:
    """One leg in one version; `url` is the server's, where the suite is the client."""

    leg: str
    version: str
    folder: Path
    url: str = ""

    def judged(self, direct: Found | None) -> Verdict:
        """Run it; a scenario that fails by surprise gets a second chance, alone."""
        began = time.monotonic()
        known = load(self.leg, self.version)
        verdict = judge(self._all(), known, direct)
        for scenario in sorted({check.partition(":")[0] for check in verdict.surprises}):
            wrong = {check for check in verdict.surprises if check.partition(":")[0] == scenario}
            if wrong <= self._alone(scenario).good:
                print(f"{self.leg} {self.version}: `{scenario}` passes alone", flush=True)
                verdict = judge(_instead(verdict.found, wrong), known, direct)
        counts = f"{verdict.found.passed} passed, {verdict.found.failed} failed"
        print(f"{self.leg} {self.version}: {counts}, {time.monotonic() - began:.0f} s", flush=True)
        return verdict

    def _all(self) -> Found:
        if self.leg == AUTH:
            names = [f"auth/{name}" for name in client_leg.AUTH_SCENARIOS[self.version]]
            return client_leg.run(names, self.version, self.folder)
        if self.leg == CLIENT:
            return client_leg.run(client_leg.SCENARIOS[self.version], self.version, self.folder)
        if self.leg in TASK_LEGS:
            return run_scenarios(self.url, self.version, self.folder, TASKS)
        return run_server(self.url, self.version, self.folder)

    def _alone(self, scenario: str) -> Found:
        folder = self.folder / "alone" / scenario
        if self.leg in (CLIENT, AUTH):
            return client_leg.alone(self.version, folder, scenario)
        return run_server(self.url, self.version, folder, scenario)


def _instead(found: Found, mended: set[Check]) -> Found:
    """Return `found` with these checks passed."""
    bad = {check: why for check, why in found.bad.items() if check not in mended}
    return Found(found.passed + len(mended), found.failed + len(bad) - len(found.bad), found.good | mended, bad)


def _shrunk(leg: str, version: str, verdict: Verdict) -> Verdict:
    if not verdict.stale:
        return verdict
    shrink(leg, version, verdict.stale)
    return replace(verdict, known=load(leg, version), stale=())


@contextmanager
def _folder(out: Path | None) -> Generator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(place)


def _print_table(results: Results) -> None:
    legs = list(dict.fromkeys(leg for leg, _ in results))
    versions = list(dict.fromkeys(version for _, version in results))
    print(f"\n{'passed/failed (known)':24}" + "".join(f"{version:>18}" for version in versions))
    for leg in legs:
        cells = (_cell(results[leg, version]) if (leg, version) in results else "" for version in versions)
        print(f"{leg:24}" + "".join(f"{cell:>18}" for cell in cells) + f"  {LEGS[leg]}")


def _cell(verdict: Verdict) -> str:
    known = f" ({len(verdict.known)})" if verdict.known else ""
    return f"{verdict.found.passed}/{verdict.found.failed}{known}{'' if verdict.is_good else ' !'}"


def _explain(leg: str, version: str, verdict: Verdict) -> str:
    name = f"{leg} {version}"
    for check, why in verdict.surprises.items():
        print(f"failed: {name}: {check}: {why[:300]}")
    for entry in verdict.stale:
        print(f"failed: {name}: {entry} passes; take it out of expected/{leg}.yaml")
    return name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
