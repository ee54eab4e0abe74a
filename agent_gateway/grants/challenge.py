"""What an upstream asks for when it refuses a credential: the `WWW-Authenticate` of a 401 or 403.

Source: RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_HEADER_CHARS: Final = 8 * 1024
MAX_SCOPES: Final = 64
MAX_SCOPE_CHARS: Final = 128

_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a word of HTTP's grammar
_PART: Final = re.compile(
    rf'[\s,]*(?:(?P<name>{_TOKEN})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))'
    rf"|(?P<scheme>{_TOKEN})(?=[\s,]|$))"
)
_ESCAPE: Final = re.compile(r"\\(.)")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class Challenge:
    """The first Bearer challenge of a refusal; members are empty where it says nothing.

    resource_metadata  where the upstream says its metadata is; believed no further than `discovery` checks it
    scope              the scopes it wants, in its order
    error              its code, such as `insufficient_scope`
    """

    resource_metadata: str = ""
    scope: tuple[str, ...] = ()
    error: str = ""


def read_challenge(value: str) -> Challenge:
    """Return the Bearer challenge in a header's value; an empty one when there is none, or what is there is none."""
    found: dict[str, str] = {}
    scheme, at = "", 0
    while len(value) <= MAX_HEADER_CHARS and (part := _PART.match(value, at)) is not None:
        at = part.end()
        if part["scheme"] is not None:
            if scheme == "bearer":
                break
            scheme = part["scheme"].lower()
        elif scheme == "bearer":
            text = part["plain"] if part["quoted"] is None else _ESCAPE.sub(r"\1", part["quoted"])
            found.setdefault(part["name"].lower(), text)
    return Challenge(found.get("resource_metadata", ""), read_scope(found.get("scope", "")), found.get("error", ""))


def read_scope(text: str) -> tuple[str, ...]:
    """Return the scopes in a blank-separated text, each once, in its order; what is no scope is left out."""
    return scopes_of(text.split(" "))


def scopes_of(words: "list[str] | tuple[str, ...]") -> tuple[str, ...]:
    """Return the words that are scopes, each once, `MAX_SCOPES` at most."""
    good = (word for word in words if len(word) <= MAX_SCOPE_CHARS and _SCOPE.fullmatch(word))
    return tuple(dict.fromkeys(good))[:MAX_SCOPES]
