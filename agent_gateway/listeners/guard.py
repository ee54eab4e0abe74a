"""The first look at a request: its head, before anything is read or believed.

One of each critical header, a bound on their number, `Host` and `Origin` from
our lists, names that no two parsers could read differently. Deadlines and the
head's size are the work of `deadlines`; the body is read by `body`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway_policies.refusal import BadRequest

_ONCE = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"content-length",
        b"origin",
        b"x-api-key",
        b"mcp-session-id",
        b"mcp-protocol-version",
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
        b"a2a-version",
        b"a2a-extensions",
        b"x-a2a-extensions",
    }
)
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class HeadRules:
    """What a head must be.

    hosts    host names and `host:port` forms a client may dial, lower case; `*` allows any
    origins  browser origins allowed, exact; the public URL's own is one of them
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    max_headers: int = 100


def check_head(raw: Iterable[tuple[bytes, bytes]], rules: HeadRules) -> Mapping[bytes, bytes]:
    """Return the headers by lower-case name, or raise `BadRequest`.

    Names with `_` are dropped: some peers read them as `-`, and two readings are one too many.
    """
    pairs = list(raw)
    if len(pairs) > rules.max_headers:
        raise BadRequest(f"{len(pairs)} headers; at most {rules.max_headers} are read", code="headers_too_large")
    headers = dict(pairs)
    if len(headers) != len(pairs):
        _check_repeats(pairs)
    if b"_" in b"".join(headers):
        headers = {name: value for name, value in headers.items() if b"_" not in name}
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise BadRequest("a body has one length: send content-length or transfer-encoding, not both")
    _check_host(headers, rules)
    _check_origin(headers, rules)
    return headers


def _check_repeats(pairs: Iterable[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in pairs:
        if name in seen and (name in _ONCE or name.startswith(b"mcp-param-")):
            raise BadRequest(f"the header `{name.decode('latin-1')}` is there more than once")
        seen.add(name)


def _check_host(headers: Mapping[bytes, bytes], rules: HeadRules) -> None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if host in rules.hosts or "*" in rules.hosts:
        return
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name in rules.hosts:
        return
    raise BadRequest(
        "this host name is not served here",
        code="bad_host",
        hint="dial the public URL, or add the name to `listeners.*.allowed_hosts`",
    )


def _check_origin(headers: Mapping[bytes, bytes], rules: HeadRules) -> None:
    origin = headers.get(b"origin")
    if origin is None or origin.decode("latin-1").lower() in rules.origins or "*" in rules.origins:
        return
    raise BadRequest(
        "this origin may not call from a browser",
        code="bad_origin",
        hint="add it to `listeners.*.allowed_origins`",
    )


def check_json_post(headers: Mapping[bytes, bytes]) -> None:
    """Raise `BadRequest` unless the body is said to be JSON, uncompressed."""
    kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if kind != _JSON:
        raise BadRequest("send `content-type: application/json`", code="bad_content_type")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise BadRequest("send the body uncompressed", code="bad_content_type")


def accepts(headers: Mapping[bytes, bytes], kind: bytes) -> bool:
    """Return whether `accept` names `kind` (`text/event-stream`), a wildcard, or nothing at all."""
    value = headers.get(b"accept")
    if value is None:
        return True
    value = value.lower()
    return kind in value or b"*/*" in value or kind.split(b"/", 1)[0] + b"/*" in value


def prefers(headers: Mapping[bytes, bytes], kind: bytes, other: bytes) -> bool:
    """Return whether `accept` names `kind` before `other`."""
    value = headers.get(b"accept", b"").lower()
    return kind in value and (other not in value or value.index(kind) < value.index(other))


def hosts_of(public_url: str, bind_host: str, port: int, extra: Iterable[str] = ()) -> frozenset[str]:
    """Return the `Host` values that reach a listener with this public URL and bind address."""
    public = urlsplit(public_url)
    names = {public.netloc.lower(), *(one.lower() for one in extra)}
    if bind_host in {"127.0.0.1", "::1", "localhost"}:
        names |= {f"{one}:{port}" for one in ("127.0.0.1", "localhost", "[::1]")}
    return frozenset(names)


def origin_of(public_url: str) -> str:
    """Return the browser origin of a URL, lower case."""
    parts = urlsplit(public_url)
    return f"{parts.scheme}://{parts.netloc}".lower()
