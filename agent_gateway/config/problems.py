"""Problems: what is wrong with a configuration, said so that a person can mend it.

A `ConfigErrors` holds every mistake at once. Finding them is the work of the other modules here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Path = tuple[str | int, ...]  # ("upstreams", "git", "command", 0)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, counted from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake, before its place in the file is known.

    at_key  the key itself is wrong, not its value
    about   the name that leads nowhere, when that is the mistake
    """

    path: Path
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    at_key: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake with its place. `key` is the dotted path: `upstreams.git.command[0]`."""

    file: str
    line: int
    column: int
    key: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    @property
    def text(self) -> str:
        """`file:line:column: key: message (hint)`, one line."""
        key = f"{self.key}: " if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {key}{self.message}{hint}"

    def as_json(self) -> dict[str, object]:
        """Return the problem as JSON values, for `--json`."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "message": self.message,
            "hint": self.hint,
            "severity": self.severity,
        }


class ConfigErrors(Exception):
    """The configuration does not load; `errors` holds every mistake, in file order.

    findings  the warnings found on the way
    """

    def __init__(self, errors: Sequence[Problem], findings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(error.text for error in errors))
        self.errors = tuple(errors)
        self.findings = tuple(findings)


def dotted(path: Path) -> str:
    """Return `path` as people write it; a part with odd characters is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = bool(part) and all(character.isalnum() or character in "_-" for character in part)
            text += ("." if text else "") + (part if plain else f'"{printable(part)}"')
    return text


def printable(text: str) -> str:
    """Return `text` with control characters spelled out: a key may hold what a terminal obeys."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest known word, or with all of them when they are few, or nothing."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    if 0 < len(known) <= 8:
        return "known: " + ", ".join(f"`{name}`" for name in sorted(known))
    return ""
