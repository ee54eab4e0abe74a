"""Addresses: the URL that an operation is sent to, on an origin that an operator registered, and nowhere else."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from context_mesh.openapi.model import Operation, Server
from context_mesh.wire.spelling import BadArgument
from gateway_policies.refusal import UpstreamUnreachable

MAX_URL_CHARS: Final = 16 * 1024
_DECODINGS: Final = 4  # our own, and three that the value may have had before
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_LITERAL: Final = "/%:@!$&'()*+,;=~"  # what a path template may hold as it is
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BREAKS: Final = re.compile(r"[/\\]")


@dataclass(frozen=True, slots=True)
class Site:
    """Where an API is, as its operator registered it.

    url        absolute; the paths of operations follow it
    servers    for operations with servers of their own: from the URL as declared, variables filled in, to the one used
    variables  of server URLs
    """

    url: str
    servers: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


def base_of(operation: Operation, site: Site) -> str:
    """Return the URL that the operation's path follows, without a slash at its end.

    A server of the operation's own is used only where it is registered, or has the registered origin.
    Raises `UpstreamUnreachable` (code `server_not_registered`): nothing is sent.
    """
    if not operation.has_own_servers or not operation.servers:
        return site.url.rstrip("/")
    for server in operation.servers:
        declared = urljoin(site.url.rstrip("/") + "/", filled(server, site.variables)).rstrip("/")
        if declared in site.servers:
            return site.servers[declared].rstrip("/")
        if origin_of(declared) == origin_of(site.url) and ".." not in unquote(urlsplit(declared).path).split("/"):
            return declared
    raise UpstreamUnreachable(
        "this operation has a server of its own that no operator has registered",
        code="server_not_registered",
        hint="an operator can add it to `servers` of this upstream",
    )


def filled(server: Server, variables: Mapping[str, str]) -> str:
    """Return a server's URL with its variables filled in: the operator's value if allowed, else the default."""

    def value(match: re.Match[str]) -> str:
        known = server.variables.get(match[1])
        wanted = variables.get(match[1])
        if known is None:
            return wanted or ""
        return wanted if wanted is not None and (not known.allowed or wanted in known.allowed) else known.default

    return _VARIABLE.sub(value, server.url)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return (scheme, host, port), defaults filled in; `("", "", 0)` for what is no plain http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return ("", "", 0)
    if parts.scheme not in ("http", "https") or parts.username is not None or not parts.hostname or "\\" in url:
        return ("", "", 0)
    return (parts.scheme, parts.hostname, port)


def path_of(template: str, values: Mapping[str, str], *, may_hold_slash: frozenset[str] = frozenset()) -> str:
    """Return a path template with every `{name}` replaced by its escaped text.

    values          by the parameter's name, as `style.in_path` wrote them
    may_hold_slash  parameters whose value may hold `/`, which then travels as `%2F`

    INVARIANT: no value changes which segments the path has. Raises `BadArgument` for a missing or empty value, and
    for one that is, after up to three decodings, a `.` or `..`, or holds a slash, a backslash or a control character.
    """
    segments = [_segment(part, values, may_hold_slash) for part in _split(template)]
    return "/".join(segments)


def _split(template: str) -> list[str]:
    """Split at the slashes of the template that are outside of braces."""
    parts: list[str] = [""]
    depth = 0
    for character in template:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "/" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _segment(template: str, values: Mapping[str, str], may_hold_slash: frozenset[str]) -> str:
    written: list[str] = []
    end = 0
    for match in _VARIABLE.finditer(template):
        name = match[1]
        text = values.get(name, "")
        if not text:
            raise BadArgument(f"`{name}` is part of the path and must not be empty")
        if name not in may_hold_slash and any(_BREAKS.search(form) for form in _decoded(text)):
            raise BadArgument(
                f"`{name}` holds a slash, which would lead to another path",
                hint="an operator can allow it for this parameter with `slashes_in`",
            )
        written += [quote(template[end : match.start()], safe=_LITERAL), text]
        end = match.end()
    segment = "".join(written) + quote(template[end:], safe=_LITERAL)
    _refuse_odd(segment, template)
    return segment


def _decoded(text: str) -> list[str]:
    """Return the text decoded once, twice, and so on."""
    forms: list[str] = []
    for _ in range(_DECODINGS):
        text = unquote(text)
        forms.append(text)
    return forms


def _refuse_odd(segment: str, template: str) -> None:
    for form in _decoded(segment):
        if _CONTROL.search(form):
            raise BadArgument(f"a value in `{template}` holds a control character")
        if any(piece.partition(";")[0] in (".", "..") for piece in _BREAKS.split(form)):
            raise BadArgument(f"a value in `{template}` would lead to another path (`.` or `..`)")
