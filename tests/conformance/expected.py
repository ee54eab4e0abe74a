"""What is known to fail, and whether a run found anything else.

One YAML file for each leg under `expected/`: version, then `scenario` or
`scenario:check-id`, then why. An entry that nothing in the run bears out is as
wrong as a failure that no entry names: either makes the run fail.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import yaml

from conformance.suite import Check, Found

FOLDER: Final = Path(__file__).with_name("expected")

Reasons = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One run beside what was expected of it.

    surprises  failed, or lost since the fixture alone passes them, and no entry says why
    stale      entries of the file that nothing bears out any more
    """

    found: Found
    known: Reasons
    surprises: Mapping[Check, str]
    stale: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.surprises and not self.stale


def load(leg: str, version: str, folder: Path = FOLDER) -> Reasons:
    """Return the entries of one leg and version, none where there is no file."""
    path = folder / f"{leg}.yaml"
    if not path.is_file():
        return {}
    read: Any = yaml.safe_load(path.read_text()) or {}
    entries: dict[str, str] = read.get(version) or {}
    return entries


def judge(found: Found, known: Reasons, direct: Found | None = None) -> Verdict:
    """Hold what was found against the known failures.

    direct  what the fixture alone does in this version: what passes there and is not even
            reached here counts as failed, so that nothing is lost by being skipped
    """
    wrong = dict(found.bad)
    if direct is not None:
        for check in direct.good - found.good - wrong.keys():
            wrong[check] = "passes at the fixture itself, and was not reached here"
    unused = set(known)
    surprises: dict[Check, str] = {}
    for check, why in wrong.items():
        entries = {check, check.partition(":")[0]} & known.keys()
        unused -= entries
        if not entries:
            surprises[check] = why
    return Verdict(found, known, surprises, tuple(sorted(unused)))


def shrink(leg: str, version: str, stale: Collection[str], folder: Path = FOLDER) -> None:
    """Take entries that nothing bears out any more from a leg's file, line by line; nothing is ever added."""
    path = folder / f"{leg}.yaml"
    kept: list[str] = []
    section = ""
    for line in path.read_text().splitlines(keepends=True):
        read: Any = yaml.safe_load(line)
        key = next(iter(cast("dict[str, object]", read))) if isinstance(read, dict) else ""
        if not line.startswith(" "):
            section = key or section
        elif section == version and key in stale:
            continue
        kept.append(line)
    path.write_text("".join(kept))
