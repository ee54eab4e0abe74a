"""Texts of an agent without the agent's whereabouts: no name of a host behind the gateway gets out.

Source: DESIGN, Invariants; nothing that a caller reads may lead it around the gateway.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec

from a2a_gateway import raw

MAX_ESCAPES: Final = 3  # layers of percent escapes that are looked through
HIDDEN: Final = "hidden.invalid"  # stands where a host stood; RFC 2606 keeps it from ever being one


class Scrubber:
    """Removes hosts and the URLs on them from parsed JSON."""

    __slots__ = ("_authorities", "_names", "_replacement", "_urls")

    def __init__(self, urls: Iterable[str], replacement: str) -> None:
        """Hide where `urls` point to.

        urls         upstream URLs, or bare `host:port`
        replacement  the URL that stands where a hidden one stood, path and all
        """
        hosts = sorted({host for url in urls for host in _hosts(url)}, key=len, reverse=True)
        # A name like `planner` is a word too: it counts as a host only where a URL or a port makes it one.
        words = [host for host in hosts if "." not in host and ":" not in host and host != "localhost"]
        names = [host for host in hosts if host not in words]
        bare = ([rf"(?<![\w.-])(?:{_any(words)}):\d+"] if words else []) + (
            [rf"\[?(?:{_any(names)})\]?(?::\d+)?"] if names else []
        )
        self._replacement = replacement
        self._urls = _pattern(
            rf"(?:[a-z][a-z0-9+.-]*:)?//(?:[^\s/@\"'<>]*@)?\[?(?:{_any(hosts)})\]?(?![\w.-])[^\s\"'<>]*", hosts
        )
        self._authorities = _pattern("|".join(bare), hosts)
        self._names = tuple(names)

    def text(self, text: str) -> str:
        """Return `text` with hidden URLs replaced and hidden hosts made unreadable."""
        if self._urls is None or self._authorities is None:
            return text
        clean = self._authorities.sub(HIDDEN, self._urls.sub(lambda _: self._replacement, text))
        folded = unicodedata.normalize("NFKC", _unescaped(clean)).casefold()
        return HIDDEN if any(host in folded for host in self._names) else clean

    def value(self, value: object) -> object:
        """Return a parsed JSON value with every text and every name scrubbed."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in cast("list[object]", value)]
        if isinstance(value, Mapping):
            members = cast("Mapping[str, object]", value)
            return {self.text(name): self.value(member) for name, member in members.items()}
        return value

    def body(self, body: bytes) -> bytes:
        """Return a JSON body scrubbed, the same bytes when nothing in it is hidden; what is no JSON as text."""
        try:
            value = raw.parse(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.text(body.decode(errors="replace")).encode()
        clean = self.value(value)
        return body if clean == value else bytes(raw.write(clean))


def _any(hosts: list[str]) -> str:
    return "|".join(re.escape(host) for host in hosts)


def _pattern(source: str, hosts: list[str]) -> re.Pattern[str] | None:
    return re.compile(source, re.IGNORECASE) if hosts else None


def _hosts(url: str) -> Iterable[str]:
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return
    if not host:
        return
    yield host
    try:
        yield host.encode("idna").decode()
        yield host.encode().decode("idna")
    except UnicodeError:
        return


def _unescaped(text: str) -> str:
    """Return `text` with percent escapes of ASCII read, also where they are escaped again."""
    for _ in range(MAX_ESCAPES):
        text = re.sub(r"%([0-7][0-9a-fA-F])", lambda match: chr(int(match[1], 16)), text)
    return text
