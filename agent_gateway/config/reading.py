"""Reading: a document as a `Config`, and as much of one as holds when parts are wrong.

A wrong part is reported and left out, so that the checks that follow can still report on the rest:
a person sees every mistake at once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent_gateway.config.document import Document
from agent_gateway.config.faults import fault_of
from agent_gateway.config.problems import Fault, Path
from agent_gateway.config.root import Config
from agent_gateway.config.schema import schema

MAX_ROUNDS: Final = 8

_EMPTY: Final = Config(version=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document says, as far as its shape is right.

    config  all of it when there are no faults; otherwise without the parts in `left_out`
    names   every name that is written anywhere as a key
    """

    config: Config
    faults: tuple[Fault, ...] = ()
    left_out: tuple[Path, ...] = ()
    names: frozenset[str] = frozenset()

    def trusts(self, fault: Fault) -> bool:
        """Say whether a fault found in `config` is one of the document, not of a part that was left out."""
        if not self.faults:
            return True
        if fault.severity == "warning" or fault.about.rpartition("/")[2] in self.names:
            return False
        return not any(_related(fault.path, path) for path in self.left_out)


def read_config(document: Document) -> Reading:
    """Return what `document` says. Nothing is raised: look at `faults`."""
    if not isinstance(document.data, dict):
        return Reading(_EMPTY, (Fault((), "the file must be a mapping", "start with `version: 1`"),), ((),))
    data = cast("dict[str, object]", _filled(cast("object", document.data)))
    names = frozenset(part for path in document.keys for part in path[-1:] if isinstance(part, str))
    faults: dict[Fault, None] = {}
    left_out: list[Path] = []
    for round_number in range(MAX_ROUNDS):
        try:
            return Reading(Config.model_validate_json(json.dumps(data)), tuple(faults), tuple(left_out), names)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            if round_number == 0:
                faults = dict.fromkeys(_faults(document, details))
            left_out += _leave_out(data, [document.present(detail["loc"]) for detail in details])
    return Reading(_EMPTY, tuple(faults), ((),), names)


def _faults(document: Document, details: Sequence[ErrorDetails]) -> list[Fault]:
    faults: list[Fault] = []
    for detail in details:
        if detail["type"] == "too_short" and any(_is_inside(other["loc"], detail["loc"]) for other in details):
            continue  # pydantic counts only the items that are right
        path = _plain(document, detail["loc"], is_missing=detail["type"] == "missing")
        faults.append(fault_of(detail, path, schema(), is_empty=document.is_empty(path)))
    return faults


def _is_inside(loc: Path, outer: Path) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _plain(document: Document, loc: Path, *, is_missing: bool) -> Path:
    """The place of an error without what pydantic puts in: names of variants, and `[key]`; a missing key counts."""
    path = loc[:-1] if loc[-1:] == ("[key]",) else loc
    present = document.present(path)
    return (*present, path[-1]) if is_missing and present[-1:] != path[-1:] else present


def _leave_out(data: dict[str, object], paths: Sequence[Path]) -> list[Path]:
    """Take each path out of `data`, lists as a whole; return what was taken out."""
    taken: list[Path] = []
    for path in paths:
        at = next((index for index, part in enumerate(path) if isinstance(part, int)), len(path))
        owner: object = data
        for part in path[: at - 1]:
            owner = cast("dict[str | int, object]", owner).get(part, {})
        if at > 0:
            cast("dict[str | int, object]", owner).pop(path[at - 1], None)
        else:
            data["version"] = 1  # the only key that must be there
        taken.append(path[:at] or ("version",))
    return taken


def _related(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _filled(data: object) -> object:
    """`data` with an empty mapping where nothing is written: `teams: {research:}` has a team."""
    if data is None:
        return {}
    if isinstance(data, dict):
        return {key: _filled(value) for key, value in cast("dict[str, object]", data).items()}
    if isinstance(data, list):
        return [_filled(value) for value in cast("list[object]", data)]
    return data
