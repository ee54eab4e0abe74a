"""The official suite as a program: run it at a URL or a client, and read what it found, check by check."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from demos.environments import command, directory

ENVIRONMENT: Final = "conformance"
MAIN: Final = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
RUN_TIMEOUT_S: Final = 240.0
SCENARIO_TIMEOUT_MS: Final = 20_000
AT_ONCE: Final = 3  # runs of one scenario each, which wait more than they work
TASKS: Final = (
    "tasks-capability-negotiation",
    "tasks-dispatch-and-envelope",
    "tasks-lifecycle",
    "tasks-mrtr-composition",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-request-state-removal",
    "tasks-required-task-error",
    "tasks-status-notifications",
    "tasks-wire-fields",
)
_PASSED: Final = "SUCCESS"
_FAILED: Final = "FAILURE"

_TIME: Final = re.compile(r"-\d{4}-\d\d-\d\dT[-\dZ]+$")

Check = str  # `scenario:check-id`


class SuiteFailed(Exception):
    """The suite itself did not run to its end; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one run of the suite found.

    passed, failed  how many checks; one id may be checked several times
    good            checks that passed each time
    bad             what the suite says of each check that failed
    """

    passed: int = 0
    failed: int = 0
    good: frozenset[Check] = frozenset()
    bad: Mapping[Check, str] = field(default_factory=dict[Check, str])


def run_server(url: str, version: str, folder: Path, scenario: str = "") -> Found:
    """Test the server at `url` in one version of the protocol: every scenario, or one."""
    what = ["--scenario", scenario] if scenario else ["--suite", "all"]
    if scenario in TASKS:
        what.append("--force")  # an extension is of no version
    return _run(["server", "--url", url, *what, "--spec-version", version], folder)


def run_scenarios(url: str, version: str, folder: Path, names: Sequence[str]) -> Found:
    """Test the server at `url` in these scenarios: some are of no suite."""

    def run(name: str) -> Found:
        return run_server(url, version, folder / name, name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        each = [*pool.map(run, names)]
    bad = {check: why for found in each for check, why in found.bad.items()}
    good = frozenset(check for found in each for check in found.good)
    return Found(sum(found.passed for found in each), sum(found.failed for found in each), good, bad)


def run_client(words: Sequence[str], version: str, folder: Path, scenario: str) -> Found:
    """Test the client that `words` start, its server's URL as last argument, in one scenario."""
    what = ["--scenario", scenario, "--spec-version", version, "--force"]  # extensions belong to no version
    return _run(["client", "--command", " ".join(words), *what], folder)


def _run(words: Sequence[str], folder: Path) -> Found:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    main = directory(ENVIRONMENT) / MAIN
    timeout = ["--timeout", str(SCENARIO_TIMEOUT_MS), "-o", str(folder)]
    try:
        done = subprocess.run(
            [*command(ENVIRONMENT, "node"), str(main), *words, *timeout],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT_S,
            check=False,
            text=True,
            errors="replace",
            env=os.environ | {"NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired:
        raise SuiteFailed(f"the suite did not end within {RUN_TIMEOUT_S:.0f} s") from None
    (folder / "output.txt").write_text(done.stdout)
    if next(folder.rglob("checks.json"), None) is None:
        raise SuiteFailed("\n".join(done.stdout.splitlines()[-12:]))
    return read(folder)


def read(folder: Path) -> Found:
    """Read the results of one run: a `checks.json` in a folder named after each scenario and the time."""
    good: set[Check] = set()
    bad: dict[Check, str] = {}
    passed = 0
    failed = 0
    for scenario, entry in _entries(folder):
        check = f"{scenario}:{entry['id']}"
        if entry["status"] == _PASSED:
            passed += 1
            good.add(check)
        elif entry["status"] == _FAILED:
            failed += 1
            bad[check] = str(entry.get("errorMessage") or entry.get("description") or "no reason given")
    return Found(passed, failed, frozenset(good - bad.keys()), bad)


def _entries(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("checks.json")):
        name = path.parent.relative_to(folder).as_posix()  # `server-ping-2026-11-25T…`, of a client without `server-`
        scenario = _TIME.sub("", name).removeprefix("server-")
        for entry in json.loads(path.read_text()):
            yield scenario, entry
