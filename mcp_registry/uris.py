"""URIs of resources: which may be used, which template one fits, and what two upstreams call alike.

A resource keeps its URI. Of two upstreams that have the same one the earlier
keeps it, and the other is shown below a prefix that names its upstream.
Matching is linear in the URI, whatever the template.
Source: RFC 3986; RFC 6570, levels 1 to 4.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

MAX_URI_CHARS: Final = 2048
MAX_EXPRESSIONS: Final = 32  # of one template
PREFIX: Final = "gw+"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_EXPRESSION: Final = re.compile(r"\{([+#./;?&]?)([A-Za-z0-9_.%,*:]+)\}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%")
_RESERVED: Final = frozenset(":/?#[]@!$&'()*+,;=")
_EXPANDS_TO: Final = {
    "": _UNRESERVED | {","},
    "+": _UNRESERVED | _RESERVED,
    "#": _UNRESERVED | _RESERVED,
    ".": _UNRESERVED | {","},
    "/": _UNRESERVED | {",", "/"},
    ";": _UNRESERVED | {",", ";", "="},
    "?": _UNRESERVED | {",", "?", "&", "="},
    "&": _UNRESERVED | {",", "&", "="},
}
_DOT_SEGMENT: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:$|[/?#])", re.IGNORECASE)
_ENCODED_SLASH: Final = re.compile(r"%2f|%5c|\\", re.IGNORECASE)


def problem_with(uri: str) -> str:
    """Return why a resource's URI, or URI template, cannot be used, or an empty string."""
    if not 0 < len(uri) <= MAX_URI_CHARS:
        return f"a URI has 1 to {MAX_URI_CHARS} characters"
    if not _SCHEME.match(uri):
        return "the URI has no scheme"
    if uri.startswith(PREFIX):
        return f"a URI that begins with `{PREFIX}` is the gateway's own"
    if any(unicodedata.category(char)[0] in "CZ" for char in uri):
        return "the URI holds a space, a control or an invisible character"
    return ""


def climbs(uri: str) -> bool:
    """Say whether a URI has a dot segment, plain or encoded: a policy would read one place and a server another."""
    path = _ENCODED_SLASH.sub("/", uri.partition(":")[2])
    return _DOT_SEGMENT.search(path) is not None


def prefixed(upstream: str, uri: str) -> str:
    """Return the URI under which another upstream's equal one is shown: `gw+{upstream}+{uri}`."""
    return f"{PREFIX}{upstream}+{uri}"


@dataclass(frozen=True, slots=True)
class Template:
    """A URI template, ready to be matched.

    parts     literal text, or the characters that an expression may become
    literals  how many characters are fixed: the more, the more is said
    """

    parts: tuple[str | frozenset[str], ...]
    literals: int

    def matches(self, uri: str) -> bool:
        """Say whether `uri` may be an expansion; at most `MAX_URI_CHARS` are looked at."""
        if len(uri) > MAX_URI_CHARS:
            return False
        first = self.parts[0]
        if isinstance(first, str) and not uri.startswith(first):
            return False
        places = {0}
        for part in self.parts:
            places = _after_text(uri, part, places) if isinstance(part, str) else _after_run(uri, part, places)
            if not places:
                return False
        return len(uri) in places


def compile_template(text: str) -> Template:
    """Return `text` as a template; raises `ValueError` for what is none, or none that is bounded."""
    parts: list[str | frozenset[str]] = []
    at = literals = 0
    for match in _EXPRESSION.finditer(text):
        if match.start() > at:
            parts.append(_literal(text[at : match.start()]))
            literals += match.start() - at
        parts.append(_EXPANDS_TO[match[1]])
        at = match.end()
    if at < len(text):
        parts.append(_literal(text[at:]))
        literals += len(text) - at
    if sum(not isinstance(part, str) for part in parts) > MAX_EXPRESSIONS:
        raise ValueError(f"a URI template has at most {MAX_EXPRESSIONS} expressions")
    if not parts or not isinstance(parts[0], str):
        raise ValueError("a URI template begins with a scheme")
    return Template(tuple(parts), literals)


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("the URI template holds an expression that cannot be read")
    return text


def _after_text(uri: str, text: str, places: set[int]) -> set[int]:
    return {place + len(text) for place in places if uri.startswith(text, place)}


def _after_run(uri: str, allowed: frozenset[str], places: set[int]) -> set[int]:
    """Return where a run of allowed characters that begins at one of `places` may end: it may be empty."""
    ends: set[int] = set()
    reached = -1  # every place up to here has been run through
    for place in sorted(places):
        end = place
        if place > reached:
            while end < len(uri) and uri[end] in allowed:
                end += 1
            ends.update(range(place, end + 1))
            reached = end
        else:
            ends.add(place)
    return ends
