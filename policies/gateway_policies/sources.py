"""Policy sources: files of Cedar text, cut into single policies that know their line.

Cedar's parser stops at the first mistake and does not say where it is; here
every policy is parsed alone, so all mistakes are found, each at its line.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cedarpy
from cedarpy import pst

MAX_SOURCE_CHARS = 4 * 1024 * 1024
MAX_POLICIES = 20_000
MAX_ID_CHARS = 128

_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|\w+|\s+|[=!<>&|:]+|.', re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9._:/-]+")
_UNFINISHED = "unexpected end of input"


@dataclass(frozen=True, slots=True)
class PolicySource:
    """One file of policies. `name` is how mistakes and generated ids speak of it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class PolicyMistake:
    """One thing that is wrong (or, as a finding, odd) and what to do about it."""

    source: str
    line: int  # 1-based, in the source
    policy: str  # the id of the policy, or empty when there is none yet
    message: str
    hint: str = ""

    def __str__(self) -> str:
        about = f" policy `{self.policy}`:" if self.policy else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.source}:{self.line}:{about} {self.message}{hint}"


class PolicyErrors(ValueError):
    """A set of policies that does not load, with every mistake in it."""

    def __init__(self, errors: Sequence[PolicyMistake]) -> None:
        self.errors: tuple[PolicyMistake, ...] = tuple(sorted(errors, key=lambda error: (error.source, error.line)))
        super().__init__("\n".join(str(error) for error in self.errors))


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: its text, its place and its typed tree."""

    id: str  # its `@id`, or `file:line` (`file:line#2` for the second on one line)
    source: str
    line: int
    text: str
    tree: pst.Template

    @property
    def effect(self) -> pst.Effect:
        return self.tree.effect

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}"

    def annotation(self, name: str) -> str:
        """Return the text of `@name("…")`, or the empty string."""
        return self.tree.annotations.get(name, "")

    def line_of(self, text: str) -> int:
        """Return the line of the source where `text` first stands in this policy, or the policy's own."""
        found = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", self.text)
        return self.line if found is None else self.line + self.text.count("\n", 0, found.start())

    def mistake(self, message: str, hint: str = "", at: str = "") -> PolicyMistake:
        """Return a mistake of this policy, at the line where `at` stands."""
        line = self.line_of(at) if at else self.line
        return PolicyMistake(self.source, line, self.id, message, hint)


def parse(sources: Sequence[PolicySource]) -> tuple[list[Policy], list[PolicyMistake]]:
    """Return every policy that parses, in order, and every mistake of the others."""
    policies: list[Policy] = []
    mistakes: list[PolicyMistake] = []
    for source in sources:
        if len(source.text) > MAX_SOURCE_CHARS:
            mistakes.append(
                PolicyMistake(source.name, 1, "", f"longer than {MAX_SOURCE_CHARS} characters", "split the file")
            )
            continue
        last_line, nth = 0, 1
        for line, text in _pieces(source.text):
            nth = nth + 1 if line == last_line else 1
            last_line = line
            found = _parse_one(source.name, line, text, nth)
            if isinstance(found, Policy):
                policies.append(found)
            else:
                mistakes.append(found)
    mistakes += _duplicates(policies)
    if len(policies) > MAX_POLICIES:
        last = policies[MAX_POLICIES]
        mistakes.append(last.mistake(f"more than {MAX_POLICIES} policies"))
    return policies, mistakes


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each policy, from its first word to its `;`; what is left at the end too."""
    start, line = -1, 1
    first_line = 1
    for match in _TOKEN.finditer(text):
        word = match.group()
        is_blank = word.isspace() or word.startswith("//")
        if start < 0 and not is_blank:
            start, first_line = match.start(), line
        line += word.count("\n")
        if word == ";":
            yield first_line, text[start : match.end()]
            start = -1
    if start >= 0:
        yield first_line, text[start:]


def _parse_one(source: str, line: int, text: str, nth: int) -> Policy | PolicyMistake:
    tree = _tree(text)
    if isinstance(tree, str):
        return _syntax_mistake(source, line, text, tree)
    if tree.templates:
        return PolicyMistake(
            source, line, "", "templates are not supported", "write the principal or resource instead of the slot"
        )
    (template,) = tree.static_policies.values()
    policy_id = template.annotations.get("id", "")
    if policy_id and (len(policy_id) > MAX_ID_CHARS or not _ID.fullmatch(policy_id)):
        return PolicyMistake(
            source,
            line,
            "",
            f"an @id has at most {MAX_ID_CHARS} letters, digits and `. _ : / -`",
            "it is written into answers and records",
        )
    place = f"{source}:{line}" if nth == 1 else f"{source}:{line}#{nth}"
    return Policy(policy_id or place, source, line, text, template)


def _duplicates(policies: Sequence[Policy]) -> Iterator[PolicyMistake]:
    first: dict[str, Policy] = {}
    for policy in policies:
        other = first.setdefault(policy.id, policy)
        if other is not policy:
            yield policy.mistake(f"the id `{policy.id}` is already used at {other.place}", "ids are unique")


def _syntax_mistake(source: str, line: int, text: str, message: str) -> PolicyMistake:
    """Find where `text` stops being Cedar: the shortest prefix that cannot be continued."""
    if message == _UNFINISHED:
        return PolicyMistake(source, line, "", "the policy does not end", "a policy ends with `;`")
    ends = [match.end() for match in _TOKEN.finditer(text) if not match.group().isspace()]
    low, high = 0, len(ends) - 1  # INVARIANT: the whole text fails, and not for being unfinished
    while low < high:
        middle = (low + high) // 2
        if _stops(text[: ends[middle]]):
            high = middle
        else:
            low = middle + 1
    at = ends[low] - 1 if _stops(text[: ends[low]]) else 0
    quoted = re.search("`([^`]+)`", message)
    if low == len(ends) - 1 and quoted is not None:
        at = max(text.find(quoted.group(1)), 0)  # well-formed, but with a name that means nothing
    return PolicyMistake(source, line + text.count("\n", 0, at), "", message, _SYNTAX_HINTS.get(message, ""))


_SYNTAX_HINTS = {
    "invalid token": 'is a string or a comment left open? strings use `"`, comments `//`',
    "cedarpy: expression nesting exceeds the supported limit of 100 levels": "split the policy, or use a set",
}


def _stops(text: str) -> bool:
    return _tree(text) != _UNFINISHED


def _tree(text: str) -> pst.PolicySet | str:
    """Return the tree of `text`, or what Cedar has against it."""
    try:
        return cedarpy.policies_to_pst(text)
    except ValueError as error:
        return str(error)
